"""What a rule is, and what all families of rules share."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.query import constant
from spiq.stats.channel import Array, ChannelStats, of_constant, stats

Inputs = Sequence[ChannelStats | None]
Rule = Callable[[ir.Node, Inputs], list[ChannelStats] | None]

NEIGHBOUR_CORRELATION = 0.5
"""Correlation assumed of two pixels of one channel under one kernel."""


def operand(
    node: ir.Node, inputs: Inputs, index: int, layout: tuple[int, ...] = ()
) -> ChannelStats | None:
    """Return the statistics of an input, those of a constant included; None where unknown.

    Args:
        node: A node.
        inputs: The statistics of its inputs.
        index: Which input.
        layout: That of the tensor that the constant is added to, or whatever else.
    """
    if index < len(inputs) and inputs[index] is not None:
        return inputs[index]
    array = constant(node.inputs[index])
    if array is None or array.dtype.kind != "f" or not np.isfinite(array).all():  # a mask
        return None
    return beside(array, layout)


def beside(array: npt.NDArray[np.generic], layout: tuple[int, ...]) -> ChannelStats:
    """Return the statistics of a constant that meets a tensor of this layout.

    Where the tensor's channels are alike, so is the constant taken to be: a coordinate that differs
    from pixel to pixel is a channel with a mean and a variance.
    """
    exact = of_constant(array)
    size = max(len(layout), array.ndim)
    theirs = (1,) * (size - len(layout)) + layout
    own = (1,) * (size - array.ndim) + array.shape
    varies = [axis for axis in range(size) if own[axis] > 1]
    if max(theirs, default=1) > 1:
        alike = [axis for axis in varies if theirs[axis] == 1 and axis != 1]
    else:
        alike = [axis for axis in varies if axis > 1 and size > 3 and len(varies) > 1]
    if not alike:
        return exact
    axes = tuple(axis - size + array.ndim for axis in alike)
    return merged(exact, axes)


def merged(x: ChannelStats, axes: tuple[int, ...]) -> ChannelStats:
    """Return what is known of all entries along ``axes`` together."""
    if not axes:
        return x
    mean = x.mean.mean(axes, keepdims=True)
    var = x.second_moment.mean(axes, keepdims=True) - mean**2
    low, high = x.low.min(axes, keepdims=True), x.high.max(axes, keepdims=True)
    return stats(mean, var, low, high, x.source)


def channels(array: Array) -> Array:
    """Return one number per channel, shape (C,): other axes of the layout are averaged."""
    if array.ndim < 2:
        return array.reshape(-1)
    other = tuple(axis for axis in range(array.ndim) if axis != 1)
    averaged: Array = array.mean(axis=other)
    return averaged


def over_space(x: ChannelStats) -> ChannelStats:
    """Return one entry per channel: where positions differ, moments and bounds over all of them."""
    axes = tuple(axis for axis, size in enumerate(x.layout) if axis != 1 and size > 1)
    if not axes or x.mean.ndim < 2:
        return x
    return merged(x, axes)


def times(a: Array, b: Array) -> Array:
    """Multiply where 0 times infinity is 0, as it is for bounds."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(a * b, nan=0.0, posinf=np.inf, neginf=-np.inf)
