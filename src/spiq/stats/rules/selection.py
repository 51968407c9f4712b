"""Operators that pick some of the numbers of a tensor: the largest, the sampled, the replaced.

What is picked is never outside what it is picked from, so bounds carry over: the union of them
where two tensors are mixed, and 0 where a sampler looks beyond the border. Of moments:

    k largest of n   mean + std z, z normal quantiles of ranks (i - 3/8)/(n + 1/4), i <= k (Blom)
    sampled          those of the tensor: neighbours are averaged, which is left out as in Resize
    replaced         a mixture, by the shares of elements that are replaced and that are left
"""

import math
from statistics import NormalDist

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, dims, is_float
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.rules.largest import largest_of
from spiq.stats.rules.pooling import reduced_axes
from spiq.stats.rules.types import Inputs, Rule, merged, operand, over_space

_UNKNOWN = 49
"""How many numbers are taken to be compared where that is open."""

_MOST = 4096
"""Ranks of so many numbers are looked at; of more, evenly spread ones."""

_normal = NormalDist()


def _of_ranks(count: int, picked: int) -> tuple[float, float]:
    """Return mean and variance of the ``picked`` largest of ``count`` normal numbers.

    The variance is that between ranks, and within each that of order statistics at the quantile.
    """
    ranks = np.unique(np.linspace(1, max(picked, 1), min(max(picked, 1), _MOST)).round())
    shares = 1 - (ranks - 0.375) / (count + 0.25)
    z = np.array([_normal.inv_cdf(float(share)) for share in shares])
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    within = shares * (1 - shares) / ((count + 2) * density**2)
    return float(z.mean()), float(z.var() + within.mean())


def top(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """TopK: the largest or smallest along an axis."""
    x, shape = inputs[0], dims(node.inputs[0])
    wanted = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if x is None or shape is None or len(shape) != x.mean.ndim:
        return None
    axis = node.attributes.get_int("axis", -1) % len(shape)
    count = shape[axis] or _UNKNOWN
    picked = min(int(wanted.reshape(-1)[0]) if wanted is not None else count, count)
    largest = node.attributes.get_int("largest", 1) == 1
    return [_picked(x, (axis,), count, picked, largest=largest)]


def extreme(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """ReduceMax and ReduceMin, of numbers as correlated as GlobalMaxPool's."""
    x, shape, axes = inputs[0], dims(node.inputs[0]), reduced_axes(node)
    if x is None or shape is None or axes is None or len(shape) != x.mean.ndim:
        return None
    sizes = [shape[axis] for axis in axes]
    count = int(np.prod([size or _UNKNOWN for size in sizes]))
    together = merged(x, tuple(axis for axis in axes if x.layout[axis] > 1))
    if node.op_type == "ReduceMax":
        found = largest_of(together, max(count, 1))
    else:
        found = _turned(largest_of(_turned(together), max(count, 1)))
    if node.attributes.get_int("keepdims", 1) == 1:
        return [found]
    mean, var, low, high = (
        np.squeeze(array, axes) for array in (found.mean, found.var, found.low, found.high)
    )
    return [stats(mean, var, low, high)]


def _turned(x: ChannelStats) -> ChannelStats:
    return stats(-x.mean, x.var, -x.high, -x.low)


def _picked(
    x: ChannelStats, axes: tuple[int, ...], count: int, picked: int, *, largest: bool
) -> ChannelStats:
    together = merged(x, tuple(axis for axis in axes if x.layout[axis] > 1))
    lift, left = _of_ranks(max(count, 1), picked)
    centre = together.mean + (lift if largest else -lift) * together.std
    mean: Array = np.clip(centre, together.low, together.high)
    return stats(mean, together.var * left, together.low, together.high)


def sampled(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """GridSample and RoiAlign, at places that are computed elsewhere; zeros beyond the border."""
    if inputs[0] is None:
        return None
    x, mode = over_space(inputs[0]), node.attributes.get_string("mode", "")
    if mode in ("cubic", "bicubic"):
        return [stats(x.mean, x.var)]
    padded = node.op_type == "RoiAlign" or (
        node.attributes.get_string("padding_mode", "zeros") == "zeros"
    )
    low, high = (np.minimum(x.low, 0), np.maximum(x.high, 0)) if padded else (x.low, x.high)
    return [stats(x.mean, x.var, low, high)]


def replaced_slices(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """ScatterND: whole slices, nobody knows which; channels within a slice stay apart."""
    indices = dims(node.inputs[1])
    data, update = (operand(node, inputs, index) for index in (0, 2))
    if indices is None or indices[-1] is None or data is None or update is None:
        return None
    kept = data.mean.ndim - indices[-1]
    old = merged(data, tuple(range(indices[-1])))
    new = merged(update, tuple(range(update.mean.ndim - kept)))
    layout = (1,) * indices[-1] + new.layout[new.mean.ndim - kept :]
    return _mixed(node, old, new, layout)


def replaced_elements(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """ScatterElements: elements along an axis, nobody knows which; other axes stay apart."""
    data, update = (operand(node, inputs, index) for index in (0, 2))
    if data is None or update is None:
        return None
    axis = node.attributes.get_int("axis", 0) % data.mean.ndim
    new = merged(update, (axis,))
    own = (*data.layout[:axis], 1, *data.layout[axis + 1 :])
    if any(size not in (1, ours) for size, ours in zip(new.layout, own, strict=True)):
        new = merged(new, tuple(range(new.mean.ndim)))  # fewer of a kind than there are
    return _mixed(node, merged(data, (axis,)), new, new.layout)


def _mixed(
    node: ir.Node, old: ChannelStats, new: ChannelStats, layout: tuple[int, ...]
) -> list[ChannelStats] | None:
    """Mix what was there with what replaces some of it, laid out as ``layout``."""
    if node.attributes.get_string("reduction", "none") != "none" or not is_float(node.outputs[0]):
        return None
    mean, second, low, high = (
        array.reshape(layout) for array in (new.mean, new.second_moment, new.low, new.high)
    )
    share = _share(node)
    mean = (1 - share) * old.mean + share * mean
    second = (1 - share) * old.second_moment + share * second
    ends = np.minimum(old.low, low), np.maximum(old.high, high)
    return [stats(mean, second - mean**2, *ends)]


def _share(node: ir.Node) -> float:
    """Return the share of elements that are replaced; a half where sizes are open in one alone."""
    before, update = dims(node.inputs[0]) or [None], dims(node.inputs[2]) or []
    if before.count(None) != update.count(None):
        return 0.5
    old, new = (math.prod(size or 1 for size in shape) for shape in (before, update))
    return min(1.0, new / max(old, 1))


SELECTION: dict[str, Rule] = {
    **dict.fromkeys(("GridSample", "RoiAlign"), sampled),
    **dict.fromkeys(("ReduceMax", "ReduceMin"), extreme),
    "ScatterElements": replaced_elements,
    "ScatterND": replaced_slices,
    "TopK": top,
}
