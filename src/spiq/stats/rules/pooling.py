"""Pools, means and resizing: neighbouring pixels of one channel are correlated.

The mean of n pixels of pairwise correlation r has variance v ((1 - r)/n + r). For the largest of
them see :mod:`spiq.stats.rules.largest`.
"""

import math

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, dims, ints, rank, spatial
from spiq.stats.channel import ChannelStats, stats
from spiq.stats.rules.linear import pads_itself, windows
from spiq.stats.rules.types import NEIGHBOUR_CORRELATION, Inputs, Rule, over_space

FAR_CORRELATION = 0.1
"""Correlation assumed of two pixels anywhere in a map."""


def average_pool(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """AveragePool; zeros of the padding count where the node says so."""
    if inputs[0] is None:
        return None
    x, r = over_space(inputs[0]), NEIGHBOUR_CORRELATION
    seen, share = windows(node)
    pixels = np.maximum(seen.sum(axis=0), 1)
    zeros = node.attributes.get_int("count_include_pad", 0) == 1
    if not zeros:
        return [stats(x.mean, x.var * float(((1 - r) / pixels + r) @ share), x.low, x.high)]
    part = pixels / len(seen)
    kept = float(part @ share)
    var = x.var * float((((1 - r) / pixels + r) * part**2) @ share)
    var = var + x.mean**2 * float((part - kept) ** 2 @ share)
    if not (pads_itself(node) or any(ints(node, "pads", [0]))):
        return [stats(kept * x.mean, var, x.low, x.high)]
    return [stats(kept * x.mean, var, np.minimum(x.low, 0), np.maximum(x.high, 0))]


def global_average_pool(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """GlobalAveragePool, and a mean over space."""
    if inputs[0] is None:
        return None
    x = over_space(inputs[0])
    sizes = spatial(node.inputs[0])
    count = float(np.prod(sizes)) if sizes else np.inf
    share = (1 - FAR_CORRELATION) / count + FAR_CORRELATION
    after = dims(node.outputs[0])
    rank = len(after) if after is not None else x.mean.ndim
    layout = (*x.layout[:2], *(1,) * (rank - 2))
    mean, var, low, high = (
        array.reshape(layout) for array in (x.mean, x.var * share, x.low, x.high)
    )
    return [stats(mean, var, low, high)]


def reduce_mean(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """ReduceMean: over space as a pool, over tokens or channels as over independent numbers."""
    if _keeps_channels(node):
        return global_average_pool(node, inputs)
    x, shape, axes = inputs[0], dims(node.inputs[0]), reduced_axes(node)
    if x is None or shape is None or axes is None or len(shape) != x.mean.ndim:
        return None
    pixels = [shape[axis] for axis in axes if x.layout[axis] == 1]
    count = float(np.prod([size or np.inf for size in pixels]))
    share = (1 - FAR_CORRELATION) / count + FAR_CORRELATION if count > 1 else 1.0
    kinds = float(np.prod([x.layout[axis] for axis in axes]))
    keep = node.attributes.get_int("keepdims", 1) == 1
    mean, var, low, high = (
        np.asarray(array.mean(axes, keepdims=keep))
        for array in (x.mean, x.var * share / kinds, x.low, x.high)
    )
    return [stats(mean, var, low, high)]


def reduce_sum(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """ReduceSum: as often the mean as there are terms."""
    mean, shape, axes = reduce_mean(node, inputs), dims(node.inputs[0]), reduced_axes(node)
    sizes = [shape[axis] for axis in axes] if shape is not None and axes is not None else [None]
    known = [size for size in sizes if size is not None]
    if mean is None or len(known) < len(sizes):
        return None
    x, count = mean[0], float(np.prod(known))
    return [stats(x.mean * count, x.var * count**2, x.low * count, x.high * count)]


def reduce_norm(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """ReduceL2: the root of s, a sum of x^2 over n pixels of correlation r, and over channels.

    Of normal x, Cov[x_i^2, x_j^2] = 2 r^2 Var[x]^2 + 4 r E[x]^2 Var[x]. To second order sqrt(s) has
    the mean m = sqrt(E[s] - Var[s]/(4 E[s])) and the variance E[s] - m^2.
    """
    x, shape, axes = inputs[0], dims(node.inputs[0]), reduced_axes(node)
    if x is None or shape is None or axes is None or len(shape) != x.mean.ndim:
        return None
    sizes = [shape[axis] for axis in axes if x.layout[axis] == 1]
    n = float(math.prod(size for size in sizes if size is not None))
    if None in sizes:
        return None
    r, keep = FAR_CORRELATION, node.attributes.get_int("keepdims", 1) == 1
    far = np.maximum(np.abs(x.low), np.abs(x.high)) ** 2
    near = np.where(x.low * x.high > 0, np.minimum(np.abs(x.low), np.abs(x.high)), 0.0) ** 2
    spread = 2 * x.var**2 * (1 + (n - 1) * r**2) + 4 * x.mean**2 * x.var * (1 + (n - 1) * r)

    s, var, low, high = (
        np.asarray(n * array.sum(axes, keepdims=keep))
        for array in (x.second_moment, spread, near, far)
    )
    centre = np.maximum(s - var / (4 * np.maximum(s, 1e-300)), 0.0)
    return [stats(np.sqrt(centre), s - centre, np.sqrt(low), np.sqrt(high))]


def reduced_axes(node: ir.Node) -> tuple[int, ...] | None:
    """Return the axes that a reduction is over, in order; None where they are not constant."""
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if given is None and len(node.inputs) > 1 and node.inputs[1] is not None:
        return None
    axes = ints(node, "axes", []) if given is None else [int(axis) for axis in given.reshape(-1)]
    size = rank(node.inputs[0])
    if not size:
        return None
    if not axes and node.attributes.get_int("noop_with_empty_axes", 0) == 1:
        return None
    return tuple(sorted({axis % size for axis in axes})) if axes else tuple(range(size))


def _keeps_channels(node: ir.Node) -> bool:
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    found = ints(node, "axes", []) if axes is None else [int(axis) for axis in axes]
    size = len(dims(node.inputs[0]) or [])
    return size > 2 and sorted(axis % size for axis in found) == list(range(2, size))


def fills(node: ir.Node) -> bool:
    """Return whether a Resize crops, and fills what lies outside with a number of its own."""
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    return node.op_type == "Resize" and mode == "tf_crop_and_resize"


def resize(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Resize over space: the same pixels, or means of them (cubic overshoots: no bounds)."""
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    if inputs[0] is None or (before and after and before[1] != after[1]) or fills(node):
        return None
    x = over_space(inputs[0])
    if node.attributes.get_string("mode", "nearest") == "cubic":
        return [stats(x.mean, x.var)]
    return [stats(x.mean, x.var, x.low, x.high)]


def local_response(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """LRN: divided by a power of the mean square of neighbouring channels, taken at its mean."""
    x, get = inputs[0], node.attributes
    if x is None or x.mean.ndim < 2:
        return None
    size, bias, beta = get.get_int("size"), get.get_float("bias", 1.0), get.get_float("beta", 0.75)
    count = (dims(node.inputs[0]) or [None, None])[1] or x.layout[1]
    powers = np.broadcast_to(x.second_moment, (1, count, *x.layout[2:]))
    before, after = (size - 1) // 2, size // 2
    padded = np.pad(powers, [(0, 0), (before, after), *[(0, 0)] * (x.mean.ndim - 2)])
    total = sum(padded[:, k : k + count] for k in range(size))
    divisor = (bias + get.get_float("alpha", 1e-4) / size * np.asarray(total)) ** beta
    least = bias**beta
    return [
        stats(
            x.mean / divisor,
            x.var / divisor**2,
            np.minimum(x.low, 0) / least,
            np.maximum(x.high, 0) / least,
        )
    ]


POOLING: dict[str, Rule] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "LRN": local_response,
    "ReduceL2": reduce_norm,
    "ReduceMean": reduce_mean,
    "ReduceSum": reduce_sum,
    "Resize": resize,
}
