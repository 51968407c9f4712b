"""Convolutions, pools and norms in float, each number rounded where the runtime rounds it.

Rounded sums depend on their order. Most layers are on integers and exact, but behind one that stays
in float a last bit decides where a number lies that is half way between two steps of a grid, one in
a million, and dozens of layers make many steps of one. So terms t_k = x_k w_k are added as ONNX
Runtime adds them, in *runs*: each by itself from 0, the runs in turn, the bias last.

    fused      fma(x_n, w_n, ... fma(x_2, w_2, t_1)),    fma(a, b, c) = a b + c rounded once
    separate   ((t_1 + t_2) + t_3) + t_4

A convolution's runs are

    blocked    depthwise, 4 n channels       one, over the kernel
               reads fewer than B channels   one per channel, over the kernel
               reads 4 n channels            one per B channels, these innermost;
                                             of a kernel of 1 x 1, one per 128
    separate   one output per group          four terms, channels outermost; of what is left, two
    others                                   one per 128 terms, of few positions more,
                                             channels outermost

where the second and third have no groups, or B n channels read and written by each. B, the channels
of a block, is 16 with AVX-512 and 8 with AVX2.
Blocked kernels are of two dimensions. What they write stays in blocks through functions and sums,
of which the last convolution's runs are added onto the other term; on blocks others read it, too:

    AveragePool            row after row on blocks; else, of strides up to 2, each column first
    GlobalAveragePool      in turn on blocks; else in four lanes
    BatchNormalization     gamma / deviation on blocks; else gamma (1 / deviation)

Read off ONNX Runtime's kernels for x86-64, and equal to the last bit there.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from typing import NamedTuple, TypeVar

import torch

from spiq.emulation.operators.layers import (
    average_pool,
    batch_norm,
    padded,
    pads_of,
    window_sums,
)
from spiq.emulation.step import Compute, Given, Step, optional

_PREFIX = "spiq.Ordered"
_BLOCK = 8 if torch.backends.cpu.get_cpu_capability() == "AVX2" else 16
"""Channels of a block: as many as a register of this machine holds."""
_ALIGNED, _LONGEST, _NARROWEST = 4, 128, 16
"""What channels of blocked kernels are multiples of, terms of a fused run, and how narrow panels of
a product of matrices become."""
_QUAD, _PAIR, _LANES = 4, 2, 4
"""Terms of a separate run, of one behind the last if as many are left; lanes of a global pool."""

_THROUGH = frozenset({
    "Add", "BatchNormalization", "Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul", "Relu",
    "Resize", "Sigmoid", "Sum", "Tanh",
})  # fmt: skip
"""Operators that keep blocks."""
_POOLS = ("AveragePool", "MaxPool")
"""Those that make blocks of what fits."""

_T = TypeVar("_T")


class _Term(NamedTuple):
    """Where a term of a sum comes from: a place in the kernel, an input channel of the group."""

    place: tuple[int, ...]
    channel: int


_Runs = Sequence[Sequence[_Term]]


def in_order(
    steps: Sequence[Step],
    constants: Mapping[str, torch.Tensor],
    channels: Mapping[str, int],
    outputs: Iterable[str],
) -> tuple[Step, ...]:
    """Put steps that keep order in the place of those whose roundings depend on it.

    Args:
        steps: All steps of a network.
        constants: Its constants, by name.
        channels: Second sizes of its tensors of four axes, by name, where they are known.
        outputs: Names of what it returns.
    """
    blocked = _blocked(steps, constants, channels)
    return tuple(_ordered(step, constants, blocked) for step in _joined(steps, blocked, outputs))


def _joined(
    steps: Sequence[Step], blocked: frozenset[str], outputs: Iterable[str]
) -> Iterable[Step]:
    """Return the steps, sums on blocks joined with a convolution that nothing else reads."""
    uses = Counter(name for step in steps for name in step.inputs if name)
    inner = blocked - {*outputs}
    convs = {step.outputs[0]: step for step in steps if step.operator == "Conv"}
    alone = {name for name in inner.intersection(convs) if uses[name] == 1}

    made, gone = [], set[str]()
    for step in steps:
        is_sum = step.operator in ("Add", "Sum") and len(step.inputs) == 2
        name = next((name for name in step.inputs if name in alone), None)
        if name and is_sum and blocked.issuperset(step.inputs):
            gone.add(name)
            step = _onto(convs[name], step, name)
        made.append(step)
    return [step for step in made if step.outputs[0] not in gone]


def _blocked(
    steps: Iterable[Step], constants: Mapping[str, torch.Tensor], channels: Mapping[str, int]
) -> frozenset[str]:
    """Return names of the tensors that are kept in blocks."""
    found = set[str]()
    for step in steps:
        read = [name for name in step.inputs if name and name not in constants]
        on_blocks, whole = found.issuperset(read), _are_whole(read, channels)
        if step.operator == "Conv":
            weight = _weight(step, constants)
            fits = weight is not None and _is_blocked(tuple(weight.shape), step.get("group", 1))
        elif step.operator in _POOLS:
            fits = on_blocks or whole
        elif step.operator == "Concat":
            fits = on_blocks and whole and step.get("axis", 1) == 1
        else:
            fits = on_blocks and step.operator in _THROUGH
        found.update(step.outputs if fits else ())
    return frozenset(found)


def _are_whole(names: Iterable[str], channels: Mapping[str, int]) -> bool:
    """Return whether the channels of tensors fill their blocks."""
    return all(channels.get(name, 1) % _BLOCK == 0 for name in names)


def _ordered(step: Step, constants: Mapping[str, torch.Tensor], blocked: frozenset[str]) -> Step:
    """Return the step, or that which keeps order if there is one."""
    is_known = step.operator != "Conv" or _weight(step, constants) is not None
    if _PREFIX + step.operator not in ORDERED or not is_known:
        return step
    attributes = {**step.attributes, "blocked": step.inputs[0] in blocked}
    return replace(step, operator=_PREFIX + step.operator, attributes=attributes)


def _weight(conv: Step, constants: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Return a convolution's weight if it is constant and of single precision."""
    held = constants.get(conv.inputs[1] or "")
    return held if held is not None and held.dtype == torch.float32 else None


def _onto(conv: Step, total: Step, written: str) -> Step:
    """Return a convolution that adds its runs onto the other term of a sum."""
    other = next(name for name in total.inputs if name != written)
    x, weight, *bias = conv.inputs
    inputs = (x, weight, bias[0] if bias else None, other)
    return replace(conv, inputs=inputs, outputs=total.outputs)


def _is_blocked(shape: tuple[int, ...], groups: int) -> bool:
    """Return whether the runtime has a kernel for it that takes channels in blocks."""
    outputs, inputs, *kernel = shape
    if len(kernel) != 2:
        return False
    if groups == 1:
        return inputs < _BLOCK or inputs % _ALIGNED == 0
    if inputs == 1 and outputs == groups:
        return groups % _ALIGNED == 0
    return inputs % _BLOCK == 0 and outputs // groups % _BLOCK == 0


@cache
def _runs(shape: tuple[int, ...], groups: int, positions: int) -> tuple[_Runs, bool]:
    """Return the runs of a convolution's sums, and whether they are fused."""
    outputs, inputs, *kernel = shape
    places = list(product(*map(range, kernel)))
    if _is_blocked(shape, groups):
        few = groups == 1 and inputs < _BLOCK
        blocks = _parts(range(inputs), 1 if few else _BLOCK if len(places) > 1 else _LONGEST)
        return [[_Term(place, c) for place in places for c in block] for block in blocks], True

    terms = [_Term(place, c) for c in range(inputs) for place in places]
    if outputs > groups:
        return _parts(terms, _longest(len(terms), positions)), True
    whole = len(terms) // _QUAD * _QUAD
    return _parts(terms[:whole], _QUAD) + _parts(terms[whole:], _PAIR), False


def _longest(terms: int, positions: int) -> int:
    """Return how long runs are of a product of matrices: panels are as tall as they are narrow."""
    longest, wide = _LONGEST, _LONGEST
    while positions < terms and wide > _NARROWEST and wide // 2 >= positions:
        longest, wide = longest * 2, wide // 2
    return longest


def _parts(whole: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _conv(step: Step, given: Given) -> torch.Tensor:
    """Conv of any rank."""
    x, weight = given[0], given[1]
    groups, kernel = step.get("group", 1), weight.shape[2:]
    x = padded(x, pads_of(step, x, kernel)).unflatten(1, (groups, 1, -1))
    first = _Term((0,) * len(kernel), 0)
    positions = _seen(step, x, kernel, first)[0, 0, 0].numel()
    runs, fused = _runs(tuple(weight.shape), groups, positions)
    kind = torch.float64 if fused else torch.float32
    x, weight = x.to(kind), weight.to(kind).unflatten(0, (1, groups, -1))

    ones, total = (1,) * len(kernel), optional(given, 3)
    total = None if total is None else total.unflatten(1, (groups, -1))
    for run in runs:
        pairs = [(_seen(step, x, kernel, term), _factor(weight, term, ones)) for term in run]
        found = _fused(pairs) if fused else _separate(pairs)
        total = found if total is None else total + found
    assert total is not None
    total, bias = total.flatten(1, 2), optional(given, 2)
    return total if bias is None else total + bias.reshape(-1, *ones)


def _seen(step: Step, x: torch.Tensor, kernel: Sequence[int], term: _Term) -> torch.Tensor:
    """Return what a term reads, of shape (N, groups, 1, ...)."""
    ones = [1] * len(kernel)
    strides, dilations = step.get("strides", ones), step.get("dilations", ones)
    spans = zip(x.shape[4:], kernel, term.place, strides, dilations, strict=True)
    windows = [
        slice(at * wide, size - (count - 1 - at) * wide, stride)
        for size, count, at, stride, wide in spans
    ]
    return x[(slice(None), slice(None), slice(None), term.channel, *windows)]


def _factor(weight: torch.Tensor, term: _Term, ones: Sequence[int]) -> torch.Tensor:
    """Return a term's weights, of shape (1, groups, outputs of a group, 1 ...)."""
    return weight[(..., term.channel, *term.place)].unflatten(-1, (-1, *ones))


def _fused(terms: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Add products of double precision, in which each is exact, and round each sum to single."""
    (x, weight), *others = terms
    total = (x * weight).float()
    for x, weight in others:
        total = torch.addcmul(total.double(), x, weight).float()
    return total


def _separate(terms: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    (x, weight), *others = terms
    return _in_turn(x * weight, [x * weight for x, weight in others])


def _in_turn(total: torch.Tensor, others: Iterable[torch.Tensor]) -> torch.Tensor:
    for other in others:
        total = total + other
    return total


def _pool(step: Step, given: Given) -> torch.Tensor:
    """AveragePool."""
    blocked = given[0].ndim != 4 or given[0].shape[1] % _BLOCK == 0
    far = step.get("strides", [1, 1])[-1] > 2
    return average_pool(step, given, sums=window_sums if blocked or far else _columns)


def _columns(x: torch.Tensor, kernel: Sequence[int], strides: Sequence[int]) -> torch.Tensor:
    """Return the sum of each window, column by column."""
    down = window_sums(x, (kernel[0], 1), (strides[0], 1))
    return window_sums(down, (1, kernel[1]), (1, strides[1]))


def _global_pool(step: Step, given: Given) -> torch.Tensor:
    """GlobalAveragePool: lanes by twos, then what is left."""
    x = given[0]
    rows = x.flatten(2).movedim(2, 0)
    lanes = 1 if step.get("blocked", False) and x.shape[1] % _BLOCK == 0 else _LANES
    whole = len(rows) // lanes * lanes
    parts = rows[:whole].unflatten(0, (-1, lanes)).contiguous()
    total = _in_turn(parts.new_zeros(parts.shape[1:]), parts)
    while len(total) > 1:
        total = total[: len(total) // 2] + total[len(total) // 2 :]
    total = _in_turn(total[0], rows[whole:])
    return (total / len(rows)).reshape(*x.shape[:2], *[1] * (x.ndim - 2))


ORDERED: dict[str, Compute] = {
    _PREFIX + "Conv": _conv,
    _PREFIX + "AveragePool": _pool,
    _PREFIX + "GlobalAveragePool": _global_pool,
    _PREFIX + "BatchNormalization": batch_norm,
}
