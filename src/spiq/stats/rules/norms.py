"""Normalization of each input by itself: LayerNormalization and its relatives.

Over the elements of a group, m and v being what is known of each,

    y_c = gamma_c (x_c - mu) / s + beta_c,    mu = mean_c m_c,    s^2 = mean_c (v_c + (m_c - mu)^2),

mu = 0 for RMSNormalization. So a channel keeps its place among those that it is normalized with:
taken by itself, the whole group is N(beta, gamma^2), but the channels of a trained transformer
differ by a factor of a hundred. That holds where nothing is known of single channels. No element is
further from the mean of n than sqrt(n - 1) deviations, and in RMSNormalization from 0 than sqrt(n).
"""

import math

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, dims, ints, rank
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.rules.types import Inputs, Rule, times


def layer_norm(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """LayerNormalization and RMSNormalization, over the last axes."""
    x, size = inputs[0], rank(node.outputs[0])
    if x is None or size is None or x.mean.ndim != size:
        return None
    axes = tuple(range(node.attributes.get_int("axis", -1) % size, size))
    gamma, beta = _parameter(node, 1, 1.0), _parameter(node, 2, 0.0)
    if gamma is None or beta is None:
        return None
    centred = node.op_type == "LayerNormalization"
    normal = normalized(x, axes, _count(node, axes), centred=centred)
    return [affine(normal, gamma, beta)]


def _parameter(node: ir.Node, index: int, default: float) -> Array | None:
    """Return a constant parameter; None where it is none."""
    if len(node.inputs) <= index or node.inputs[index] is None:
        return np.full((1,), default)
    array = constant(node.inputs[index])
    return None if array is None else np.asarray(array, np.float64)


def _count(node: ir.Node, axes: tuple[int, ...]) -> float:
    shape = dims(node.inputs[0]) or []
    known = [shape[axis] for axis in axes]
    return math.prod(size for size in known if size is not None) if all(known) else math.inf


def normalized(
    x: ChannelStats, axes: tuple[int, ...], count: float, *, centred: bool = True
) -> ChannelStats:
    """Return the statistics of x, normalized over some axes of its layout.

    Args:
        x: Those of x.
        axes: The axes.
        count: Elements that are normalized together; inf where unknown.
        centred: Whether their mean is taken off.
    """
    mean = x.mean - x.mean.mean(axes, keepdims=True) if centred else x.mean
    power = (x.var + mean**2).mean(axes, keepdims=True)
    scale = 1 / np.sqrt(np.maximum(power, 1e-300))
    reach = math.sqrt(max(count - 1, 0.0) if centred else count)
    return stats(mean * scale, x.var * scale**2, -reach, reach)


def affine(x: ChannelStats, gamma: Array, beta: Array) -> ChannelStats:
    """Return the statistics of gamma x + beta."""
    ends = times(gamma, x.low) + beta, times(gamma, x.high) + beta
    mean, var = gamma * x.mean + beta, gamma**2 * x.var
    return stats(mean, var, np.minimum(*ends), np.maximum(*ends))


def group_norm(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """GroupNormalization: groups of channels, over space."""
    x, shape = inputs[0], dims(node.inputs[0])
    gamma, beta = _parameter(node, 1, 1.0), _parameter(node, 2, 0.0)
    if x is None or gamma is None or beta is None or shape is None or shape[1] is None:
        return None
    groups, channels = node.attributes.get_int("num_groups"), shape[1]
    if channels % groups or any(size > 1 for size in (x.layout[0], *x.layout[2:])):
        return None
    wide = (1, channels, *(1,) * (len(shape) - 2))
    split = (groups, channels // groups)
    mean, var = (np.broadcast_to(array, wide).reshape(split) for array in (x.mean, x.var))
    space = [1 if size is None else size for size in shape[2:]]
    count = math.inf if None in shape[2:] else math.prod(space) * split[1]
    normal = normalized(stats(mean, var), (1,), count)
    mean, var = normal.mean.reshape(wide), normal.var.reshape(wide)
    repeats = channels // gamma.size  # one per group, before opset 21
    gamma, beta = (np.repeat(a.reshape(-1), repeats).reshape(wide) for a in (gamma, beta))
    return [affine(stats(mean, var, normal.low.min(), normal.high.max()), gamma, beta)]


def instance_norm(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """InstanceNormalization: N(b, a^2) whatever comes in."""
    x, scale, shift = inputs[0], constant(node.inputs[1]), constant(node.inputs[2])
    if x is None or scale is None or shift is None:
        return None
    layout = (1, -1) + (1,) * (x.mean.ndim - 2)
    a, b = (np.asarray(array, np.float64).reshape(layout) for array in (scale, shift))
    return [stats(b, a**2)]


def standardized(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """MeanVarianceNormalization: N(0, 1) whatever comes in, over all that is taken together."""
    x = inputs[0]
    if x is None:
        return None
    axes = tuple(axis % x.mean.ndim for axis in ints(node, "axes", [0, 2, 3]))
    return [normalized(x, axes, _count(node, axes))]


def unit_length(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """LpNormalization along one axis: no element is further from 0 than 1."""
    x = inputs[0]
    if x is None or node.attributes.get_int("p", 2) != 2:
        return None
    axis = node.attributes.get_int("axis", -1) % x.mean.ndim
    count = _count(node, (axis,))
    if math.isinf(count):
        return None
    normal = normalized(x, (axis,), count, centred=False)
    return [stats(normal.mean / math.sqrt(count), normal.var / count, -1.0, 1.0)]


NORMS: dict[str, Rule] = {
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "LpNormalization": unit_length,
    "MeanVarianceNormalization": standardized,
    "RMSNormalization": layer_norm,
}
