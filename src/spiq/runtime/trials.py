"""How a network behaves on pictures of each convention, where the file alone leaves doubt.

The network runs on dead leaves, scaled as each convention that is not out of the question says, and
its layers are watched:

- What BatchNormalization states of tensors that lie behind several layers or activations has to be
  what such pictures show there.
- Folding leaves biases of the size of a layer's outputs (:mod:`spiq.stats.inputs.biases`). The last
  layers are left out, which no network normalizes: with them shares are half as large where there
  are few others. In networks that never had a normalization layer they may be anything (0.0003 in
  SqueezeNet; 0.002 to 0.1 in perceptrons trained on digits, less for larger inputs).
- A network's tensors are finite: where the input's logarithm is taken, no pixel is negative.
- What makes pictures of pictures (larger ones, sharper ones, of another style) makes such as it
  takes: outputs of an input's own channels, and no smaller, have about its mean and deviation.

How flat or saturated outputs are was tried as a witness, and is none: the deviation of logits on
dead leaves is 0.6 to 2.7 in six classifiers; SqueezeNet's is 7.0 for its own pixels from 0 to 255
and 1.4 for those of ImageNet's normalization, which it was not trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from spiq.graph.extents import Extent
from spiq.graph.query import dims, holds_floats, is_float32, rank, weight_nodes
from spiq.passes.layer_weights import bias_of
from spiq.passes.prepare import Prepared
from spiq.runtime.opened import Opened
from spiq.runtime.parts import is_parted, leading_to, parted, reads_of
from spiq.runtime.ports import DYNAMIC_SIZE
from spiq.runtime.session import call
from spiq.runtime.synthetic import Images, synthetic_inputs
from spiq.runtime.trial_pictures import pictures, scaled
from spiq.runtime.weights import apart, opened_with
from spiq.stats.channel import Array
from spiq.stats.input_axis import channel_axis
from spiq.stats.inputs.biases import of_shares
from spiq.stats.inputs.conventions import CONVENTIONS, Convention
from spiq.stats.inputs.evidence import Verdict
from spiq.stats.inputs.fourth_channel import spans

BEHIND_OFF = 0.4
"""Deviation of the distance of moments behind several layers: pictures are only like real ones."""

_LAYERS, _NORMS, _FEWEST = 24, 3, 3
"""Layers and normalization layers that are watched at most, and layers at least."""

MADE_OFF, _MADE_MOST = 1.0, 4.0
"""Deviation of the distance of pictures that are made from those that are taken, and the most that
it says: it may be a mask that is made. Judgements."""

_NOT_FINITE = 20.0
"""How much a convention by which what is looked at is not finite is worse: logarithms and roots of
pixels are of no negative ones. Where a mask makes it so, all are alike."""

_NEAR = 8
"""Layers from the input behind which synthetic pictures no longer do what real ones do."""

_DEAD = 1e-5
"""Variance over the largest, below which a channel is dead."""

_OUT_OF_THE_QUESTION = 5.0
"""Log of the odds from which on a convention is not tried."""

_POSITIONS = 48
"""Positions along each axis of a map that are looked at, about."""


@dataclass(frozen=True)
class _Watched:
    """The tensors that are looked at, the biases in them, and what may be pictures again."""

    biases: dict[str, Array]
    norms: list[str]
    made: list[str]

    @property
    def names(self) -> list[str]:
        """The names of all of them."""
        return list(dict.fromkeys([*self.biases, *self.norms, *self.made]))


def tried(
    prepared: Prepared, verdicts: Mapping[str, Verdict], size: Extent = DYNAMIC_SIZE
) -> dict[str, Verdict]:
    """Return the verdicts with what the network does on pictures, where they are in doubt.

    Args:
        prepared: The network. It is left as it is.
        verdicts: What the file says of each picture input, by name.
        size: Height and width of inputs that leave them open.

    Raises:
        ModelError: The network does not run.
    """
    found = dict(verdicts)
    for verdict in {id(one): one for one in verdicts.values()}.values():
        names = [name for name, one in verdicts.items() if one is verdict]
        if verdict.rivals:
            found |= dict.fromkeys(names, _tried(prepared, names, verdict, size))
    return found


def _tried(prepared: Prepared, names: Sequence[str], verdict: Verdict, size: Extent) -> Verdict:
    """Return the verdict on inputs that are alike, each of which is shown pictures of its own."""
    watched = _watched(prepared)
    if len(watched.biases) < _FEWEST and not watched.norms and not watched.made:
        return verdict
    values = [value for value in prepared.model.graph.inputs if value.name in names]
    opened = _opened(prepared, watched.names)
    drawn = [pictures(value, size, seed) for seed, value in enumerate(values)]
    evidence = np.full((len(CONVENTIONS), 2), -_OUT_OF_THE_QUESTION)
    for index, convention in enumerate(CONVENTIONS):
        if verdict.odds[index] > -_OUT_OF_THE_QUESTION:
            ends = spans(verdict, index)
            given = [
                {str(v.name): scaled(ends, p, v) for p, v in zip(shown, values, strict=True)}
                for shown in zip(*drawn, strict=True)
            ]
            seen = _seen(opened, given, watched.names, size)
            evidence[index] = _of_norms(seen, watched, prepared)
            evidence[index] += _of_sizes(seen, watched, verdict.betas[index])
            evidence[index] += _of_made(seen, watched, convention)
            evidence[index] -= _NOT_FINITE * (len(seen) < len(watched.names))
    return verdict.and_(evidence, "what the network does with such pictures")


def _watched(prepared: Prepared) -> _Watched:
    """Return the first layers that have biases of their own, and what is stated near the input."""
    biases, norms, depth = dict[str, Array](), list[str](), 0
    layers, inner = set(weight_nodes(prepared.model.graph)), _inner(prepared.model.graph)
    for node in prepared.model.graph:
        depth += node in layers
        for value in node.outputs:
            if not is_float32(value) or (rank(value) or 0) < 2:
                continue
            if value.name in prepared.stated and depth <= _NEAR and len(norms) < _NORMS:
                norms.append(str(value.name))
            elif node in inner and value.name not in prepared.stated and depth <= _LAYERS:
                biases[str(value.name)] = bias_of(node)
    told = {name: bias for name, bias in biases.items() if bias.any()}
    return _Watched(told, norms, _made(prepared.model.graph))


def _inner(graph: ir.Graph) -> set[ir.Node]:
    """Return the layers behind which there is another one."""
    layers, leading, inner = set(weight_nodes(graph)), set[ir.Value](), set[ir.Node]()
    for node in reversed(graph):
        leads = not leading.isdisjoint(node.outputs)
        if leads and node in layers:
            inner.add(node)
        if leads or node in layers:
            leading.update(value for value in node.inputs if value is not None)
    return inner


def _made(graph: ir.Graph) -> list[str]:
    """Return the outputs that may be pictures like the one input."""
    inputs = [value for value in graph.inputs if holds_floats(value)]
    if len(inputs) != 1:
        return []
    shape, axis = dims(inputs[0]) or [], channel_axis(inputs[0])
    return [
        str(value.name)
        for value in graph.outputs
        if holds_floats(value) and value.producer() and len(shape) == len(dims(value) or []) == 4
        and _is_no_smaller(dims(value) or [], shape, axis)
    ]  # fmt: skip


def _is_no_smaller(shape: Sequence[int | None], than: Sequence[int | None], axis: int) -> bool:
    """Return whether a shape has the same channels as another one, and at least its sizes."""
    sizes = zip(shape[1:], than[1:], strict=True)
    known = all(have is None or want is None or have >= want for have, want in sizes)
    return known and shape[axis] == than[axis] is not None


def _opened(prepared: Prepared, names: Sequence[str]) -> Opened:
    """Return the network up to the tensors that are looked at; the runtime runs all it is given."""
    if is_parted(prepared.model):
        part: Opened = parted(prepared.model, names)
        return part
    proto, weights = apart(prepared.model)
    kept = leading_to(names, proto.graph)
    needed = {*names}.union(*map(reads_of, kept))
    kinds = {output.name: output.type.tensor_type.elem_type for output in proto.graph.output}
    del proto.graph.node[:], proto.graph.output[:]
    proto.graph.node.extend(kept)
    read = [tensor for tensor in proto.graph.initializer if tensor.name in needed]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(read)
    float32 = onnx.TensorProto.FLOAT
    proto.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, kinds.get(name, float32), None) for name in names
    )
    opened: Opened = opened_with(proto, weights)
    return opened


def _seen(
    opened: Opened, pictures: Sequence[Mapping[str, Images]], names: list[str], size: Extent
) -> dict[str, tuple[Array, Array]]:
    """Return mean and variance of the channels of each tensor over pictures."""
    first, second = ([np.zeros(1)] * len(names) for _ in range(2))
    for seed, given in enumerate(pictures):
        others = synthetic_inputs(opened, images=1, seed=seed, size=size, but=next(iter(given)))
        feed = {**others, **given}
        found = call(opened, names, feed, where="the float network")
        for index, array in enumerate(map(_thinned, found)):
            axes = tuple(axis for axis in range(array.ndim) if axis != 1)
            with np.errstate(over="ignore", invalid="ignore"):
                first[index] = first[index] + array.mean(axis=axes) / len(pictures)
                second[index] = second[index] + np.square(array).mean(axis=axes) / len(pictures)
    return {
        key: (mean, np.maximum(square - mean**2, 0))
        for key, mean, square in zip(names, first, second, strict=True)
        if np.isfinite(square).all()
    }


def _thinned(array: npt.NDArray[np.generic]) -> Array:
    """Return about as many positions of a map as its moments need."""
    steps = [max(1, size // _POSITIONS) for size in array.shape[2:]]
    return array[(slice(None), slice(None), *(slice(None, None, k) for k in steps))].astype(float)


def _of_norms(
    seen: Mapping[str, tuple[Array, Array]], watched: _Watched, prepared: Prepared
) -> Array:
    """Return what stated moments say of pictures with these moments, for either history."""
    off = []
    for name in watched.norms:
        stated = prepared.stated[name]
        if name not in seen or len(seen[name][0]) != len(stated.mean):
            continue
        mean, var = seen[name]
        live = stated.var > _DEAD * stated.var.max(initial=0)
        std = np.sqrt(stated.var[live])
        if not live.any():
            continue
        wider = 0.5 * np.median(np.log2((var[live] + 1e-30) / stated.var[live]))
        off.append(np.hypot(wider, np.median(np.abs(mean - stated.mean)[live] / std)))
    return np.full(2, -0.5 * float(np.mean(np.square(off))) / BEHIND_OFF**2 if off else 0.0)


def _of_made(
    seen: Mapping[str, tuple[Array, Array]], watched: _Watched, convention: Convention
) -> float:
    """Return what the pictures that a network makes say of those that it takes."""
    off = 0.0
    for name in watched.made:
        mean, var = seen.get(name, (np.zeros(1), np.zeros(1)))
        std = sqrt(float(var.mean() + mean.var()))
        if std > 0:
            off = max(off, convention.distance(float(mean.mean()), std) / MADE_OFF)
    return -min(0.5 * off**2, _MADE_MOST)


def _of_sizes(seen: Mapping[str, tuple[Array, Array]], watched: _Watched, betas: Array) -> Array:
    """Return what biases say beside outputs of this deviation, for either history."""
    shares = list[float]()
    for name, bias in watched.biases.items():
        if name not in seen or len(seen[name][1]) != len(bias):
            continue
        var = seen[name][1]
        live = var > _DEAD * var.max(initial=0)  # a channel cut off is left with its bias alone
        if live.any():
            shares.append(float(np.median(np.abs(bias[live]) / np.sqrt(var[live]))))
    return np.zeros(2) if len(shares) < _FEWEST else of_shares(shares, betas)
