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

from spiq.graph.query import constant, data_inputs, dims, rank
from spiq.stats.channel import Array, ChannelStats, stats, tail_of_shares
from spiq.stats.rules.activations import softmax
from spiq.stats.rules.arithmetic import ARITHMETIC
from spiq.stats.rules.movement import move, pad
from spiq.stats.rules.types import Inputs, Rule, beside, merged

_FAR = 64.0
"""Standard deviations from the mean; no channel of the measured networks comes to half of that."""

_MASKED = -1e4
"""What is added to a score, or put in its place, that takes all of its share."""

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


def masked_shares(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Softmax: of rows that a mask leaves k places of, each share is 1/k, and none more than 1.

    With scores of variance v the mean of p^2 over those is exp(v)/k^2, and at most 1/k. A causal
    mask leaves one place in the first row: shares were cut off at 0.7 of a few, and 6 dB left.
    """
    plain, scores, kept = softmax(node, inputs), inputs[0], _kept(node)
    size, axis = rank(node.inputs[0]) or 0, node.attributes.get_int("axis", -1)
    if plain is None or scores is None or kept is None or axis not in (-1, size - 1):
        return plain
    width = (dims(node.inputs[0]) or [None])[-1]
    if not width or kept.ndim < 2 or kept.ndim > scores.mean.ndim:
        return plain
    places = tuple(at for at in (-2, -1) if scores.layout[at] > 1)
    scores = merged(scores, places)  # all places of a matrix of scores are one to what follows
    left = np.broadcast_to(kept, (*kept.shape[:-1], width)).sum(axis=-1)
    return [_shares_of(left[left > 0], scores, width)] if left.any() else plain


def _shares_of(left: npt.NDArray[np.int64], scores: ChannelStats, width: int) -> ChannelStats:
    """Return the statistics of shares of rows that have so many places left, of ``width``."""
    power = np.minimum(np.exp(np.minimum(scores.var, 20))[..., None] / left, 1.0).mean(axis=-1)
    mean, logs = np.full(scores.layout, 1 / width), np.log(left)
    spread = np.average((logs - np.average(logs, weights=left)) ** 2, weights=left)
    doubt = np.hypot(tail_of_shares(scores.var + spread), scores.doubt)
    return stats(mean, power / width - mean**2, 0.0, 1.0, doubt=doubt)


def _kept(node: ir.Node) -> npt.NDArray[np.bool_] | None:
    """Return where the scores that a Softmax reads are kept by a constant mask; None if by none."""
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    if before is None or before.op_type not in ("Add", "Where") or len(data_inputs(before)) != 1:
        return None
    arrays = [None if (a := constant(v)) is None else np.asarray(a, float) for v in before.inputs]
    kept = _chosen(arrays) if before.op_type == "Where" else _added(arrays)
    return None if kept is None or kept.all() else kept


def _added(arrays: list[Array | None]) -> npt.NDArray[np.bool_]:
    numbers = next(array for array in arrays if array is not None)
    return np.asarray(numbers > _MASKED)


def _chosen(arrays: list[Array | None]) -> npt.NDArray[np.bool_] | None:
    """Return where a Where takes scores, and a mask nowhere else."""
    choice, yes, no = arrays
    mask = no if yes is None else yes
    if choice is None or mask is None or not (mask <= _MASKED).all():
        return None
    return np.asarray((choice != 0) == (yes is None))


MASKS: dict[str, Rule] = {
    "Add": masked_sum,
    "Pad": masked_pad,
    "Softmax": masked_shares,
    "Where": masked_choice,
}
