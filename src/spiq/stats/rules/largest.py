"""MaxPool and GlobalMaxPool: the largest of n neighbouring pixels of one channel. So is ReduceMax.

They are taken as n normal numbers of mean c, deviation d and pairwise correlation r: a common part
of variance r d^2, and one of (1 - r) d^2 of each one's own. With M and V mean and variance of the
largest of n independent standard normal numbers, the largest is normal with

    mean  c + M sqrt(1 - r) d        variance  (r + (1 - r) V) d^2.

Behind a rectifier, x = max(y, b), the largest x is that of the largest y: fewer pixels are at the
bound, and the pool varies more than what it reads. With u = (c - b) / d and Z standard normal,

    t(u) = E[max(u + Z, 0)] / std[max(u + Z, 0)]

rises without end, so (mean - b) / std of x gives u, and std of x gives d.
"""

import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from spiq.graph.query import spatial
from spiq.passes.cleanup import kernel_shape
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.rules.activations import expectation
from spiq.stats.rules.types import Inputs, Rule, over_space

_COUNTS = np.log([1, 2, 4, 9, 16, 25, 49, 81, 169, 400, 1000, 10_000, 100_000])
_MEANS = (0.0, 0.564, 1.029, 1.485, 1.766, 1.965, 2.241, 2.431, 2.690, 2.968, 3.241, 3.852, 4.384)
_VARIANCES = (
    1.0,
    0.682,
    0.492,
    0.357,
    0.295,
    0.259,
    0.217,
    0.193,
    0.166,
    0.142,
    0.123,
    0.093,
    0.074,
)
"""M and V of so many numbers."""

_NEAR, _FALLS, _LEAST = 0.8, 0.07, 0.3
"""r = 0.8 - 0.07 ln n, at least 0.3: by means and deviations of ten pools of six networks, on 24
real images each, channel by channel (docs/experiments.md)."""

_FAR = 2.0
"""Deviations above its bound from which on a channel is taken as if there were none."""

_ANY = 49
"""Pixels of a map whose size is open."""


def largest_correlation(count: float) -> float:
    """Return r for so many pixels."""
    return max(_NEAR - _FALLS * math.log(count), _LEAST)


def max_pool(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """MaxPool and GlobalMaxPool, of normal numbers or rectified ones."""
    if inputs[0] is None or len(node.outputs) > 1:
        return None
    kernel = kernel_shape(node) if node.op_type == "MaxPool" else spatial(node.inputs[0])
    return [largest_of(over_space(inputs[0]), math.prod(kernel) if kernel else _ANY)]


def largest_of(x: ChannelStats, count: int) -> ChannelStats:
    """Return what the largest of so many pixels of each channel is."""
    lift, left = (np.interp(math.log(count), _COUNTS, one) for one in (_MEANS, _VARIANCES))
    r = largest_correlation(count)

    centre, deviation, rectified = _in_front(x)
    mean = centre + lift * math.sqrt(1 - r) * deviation
    var = (r + (1 - r) * left) * deviation**2
    if rectified.any():
        bent = expectation(_itself, replace(x, mean=mean, var=var))
        mean, var = (np.where(rectified, *pair) for pair in zip(bent, (mean, var), strict=True))
    return stats(mean, var, x.low, x.high)


def _in_front(x: ChannelStats) -> tuple[Array, Array, Array]:
    """Return c and d in front of a rectifier, and in which channels there seems to be one."""
    std = np.maximum(x.std, 1e-30)
    ratio = (x.mean - x.low) / std
    rectified = (ratio < _RATIO[-1]) & (x.std > 0)
    deviation = std / np.interp(ratio, _RATIO, _STD)
    with np.errstate(invalid="ignore"):  # of channels without a bound
        centre = x.low + np.interp(ratio, _RATIO, _U) * deviation
    return np.where(rectified, centre, x.mean), np.where(rectified, deviation, x.std), rectified


def _itself(y: Array) -> Array:
    return y


def _tabulate() -> tuple[Array, Array, Array]:
    """Return u, t(u) and std[max(u + Z, 0)]."""
    u = np.linspace(-5, _FAR, 141)
    mean, var = expectation(_itself, _cut_at_zero(u))
    return u, mean / np.sqrt(var), np.sqrt(var)


def _cut_at_zero(u: Array) -> ChannelStats:
    """Return normal numbers of mean u and deviation 1 of which the negative ones become 0."""
    ends = np.zeros_like(u), np.full_like(u, np.inf)
    return ChannelStats(u, np.ones_like(u), *ends, "propagated")


_U, _RATIO, _STD = _tabulate()

LARGEST: dict[str, Rule] = {"GlobalMaxPool": max_pool, "MaxPool": max_pool}
