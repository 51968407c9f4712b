"""Numbers that stand for none: what fills or is added to keep places from being looked at.

A pad, a Where or an Add by minus infinity, or by a number far below all that a tensor shows (-1e9,
-1e4), masks places for whoever takes the largest, or the exponential, of what it reads. Such
numbers say nothing of the tensor: its moments are those of what is not masked, and its bound is
open. Infinite ones are always masks, since nothing else can be computed with them; finite ones
where all readers look past them.
"""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.query import constant, rank
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.rules.arithmetic import ARITHMETIC
from spiq.stats.rules.movement import move, pad
from spiq.stats.rules.types import Inputs, Rule, beside

_FAR = 64.0
"""Standard deviations from the mean; no channel of the measured networks comes to half of that."""

_LOOK_PAST = frozenset({"Clip", "Exp", "GlobalMaxPool", "HardSigmoid", "MaxPool", "ReduceMax",
                        "Relu", "Sigmoid", "Softmax", "TopK"})  # fmt: skip


def masking(node: ir.Node, place: int, known: ChannelStats | None) -> Array | None:
    """Return an input's numbers where some are masks, those made infinite; else None.

    Args:
        node: A sum, a pad or a choice.
        place: Of the constant among its inputs.
        known: Statistics of the tensor that it meets.
    """
    array = constant(node.inputs[place]) if place < len(node.inputs) else None
    if array is None or known is None or array.dtype.kind != "f" or np.isnan(array).any():
        return None
    numbers = array.astype(np.float64)
    below = float((known.mean - _FAR * known.std).min())
    if all(reader.op_type in _LOOK_PAST for reader in node.outputs[0].consumers()):
        far = numbers < min(below, 0)
        if node.op_type == "Add":
            far &= ~_everywhere(far, known.mean.ndim)
        numbers = np.where(far, -np.inf, numbers)
    return numbers if np.isneginf(numbers).any() else None


def _everywhere(far: npt.NDArray[np.bool_], size: int) -> npt.NDArray[np.bool_]:
    """Return which channels, the second axis of ``size``, are far throughout: a bias, no mask."""
    own = 1 - size + far.ndim
    other = tuple(axis for axis in range(far.ndim) if axis != own)
    return np.asarray(far.all(axis=other, keepdims=True))


def _open_below(x: ChannelStats) -> ChannelStats:
    return stats(x.mean, x.var, -np.inf, x.high, x.source, x.doubt)


def masked_pad(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Pad: by a mask, what is padded looks as before."""
    if masking(node, 2, inputs[0]) is None:
        return pad(node, inputs)
    moved = move(node, inputs)
    return None if moved is None else [_open_below(moved[0])]


def masked_choice(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Where: between a tensor and a mask, the tensor counts."""
    for place, other in ((1, 2), (2, 1)):
        known, numbers = inputs[other], masking(node, place, inputs[other])
        size = rank(node.outputs[0])
        if known is None or numbers is None or size is None or np.isfinite(numbers).any():
            continue
        layout = (1,) * (size - known.mean.ndim) + known.layout
        parts = (known.mean, known.var, known.high, known.doubt)
        mean, var, high, doubt = (array.reshape(layout) for array in parts)
        return [stats(mean, var, -np.inf, high, known.source, doubt)]
    return ARITHMETIC["Where"](node, inputs)


def masked_sum(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Add: where nothing is masked, the sum is what it is."""
    for place, other in ((0, 1), (1, 0)):
        known = inputs[other] if other < len(inputs) else None
        numbers = masking(node, place, known)
        if known is None or numbers is None:
            continue
        kept = beside(np.where(np.isfinite(numbers), numbers, 0.0), known.layout)
        return [stats(known.mean + kept.mean, known.var + kept.var, high=known.high + kept.high)]
    return ARITHMETIC["Add"](node, inputs)


MASKS: dict[str, Rule] = {"Add": masked_sum, "Pad": masked_pad, "Where": masked_choice}
