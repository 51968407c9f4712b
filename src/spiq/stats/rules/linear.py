"""Layers that multiply by a weight.

With x_c of mean m_c and variance v_c, and S_p[o,c] = sum_{k seen at p} W[o,c,k], the output at a
position of kind p is y_o = sum_{c,k seen at p} W[o,c,k] x_c(k) + b_o and has

    E_p[y_o]   = sum_c m_c S_p[o,c] + b_o
    Var_p[y_o] = sum_c v_c ((1 - r) sum_{k seen at p} W[o,c,k]^2 + r S_p[o,c]^2)

where r is the correlation of neighbouring pixels of a channel; channels are taken as
uncorrelated. A kind of position is the set of taps that see a pixel there and not the zero padding
(large effect on small maps) or, in a transposed convolution, the zeros that its stride puts between
pixels. Over all positions, p having the share q_p of them,

    E[y_o]   = sum_p q_p E_p[y_o]
    Var[y_o] = sum_p q_p (Var_p[y_o] + (E_p[y_o] - E[y_o])^2)
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.query import ints, is_constant, rank, spatial
from spiq.passes.batchnorm import batchnorm_affine
from spiq.passes.cleanup import kernel_shape
from spiq.passes.layer_weights import weight_and_bias
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.rules.types import (
    NEIGHBOUR_CORRELATION,
    Inputs,
    Rule,
    channels,
    over_space,
    times,
)

_KEPT = 64
"""Kinds of windows that are kept: a network has a few, and asks for each several times."""


def tap_shares(node: ir.Node) -> Array:
    """Return the share of output positions at which each tap sees a pixel, shape (K,).

    Borders are left out where a size is dynamic.
    """
    shares: Array = np.ones(1)
    for seen in _seen_per_axis(node):
        shares = np.outer(shares, seen.mean(axis=0)).reshape(-1)
    return shares


def windows(node: ir.Node) -> tuple[Array, Array]:
    """Return the kinds of output positions of a layer or pool.

    Returns:
        Whether each tap sees a pixel at each kind of position, shape (K, P) of 0 and 1, and the
        share of output positions of each kind, shape (P,). Borders are left out where a size is
        dynamic.
    """
    seen: Array = np.ones((1, 1))
    share: Array = np.ones(1)
    for along in _seen_per_axis(node):
        kinds, counts = np.unique(along, axis=0, return_counts=True)
        seen = np.asarray(np.kron(seen, kinds.T), np.float64)
        share = np.asarray(np.kron(share, counts / counts.sum()), np.float64)
    return seen, share


def _seen_per_axis(node: ir.Node) -> list[npt.NDArray[np.bool_]]:
    kernel, sizes = kernel_shape(node), spatial(node.inputs[0])
    known = sizes is not None and len(sizes) == len(kernel)
    known = known and not pads_itself(node) and "output_shape" not in node.attributes
    return [
        _seen(node, axis, k, sizes[axis] if sizes is not None and known else None)
        for axis, k in enumerate(kernel)
    ]


def pads_itself(node: ir.Node) -> bool:
    """Return whether the node pads by a mode that was not resolved to numbers."""
    return node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID")


def _seen(node: ir.Node, axis: int, k: int, size: int | None) -> npt.NDArray[np.bool_]:
    """Return whether tap t sees a pixel at each output position of one axis, (positions, k)."""
    axes = len(kernel_shape(node))
    stride, dilation = (ints(node, name, [1] * axes)[axis] for name in ("strides", "dilations"))
    pads = ints(node, "pads", [0] * (2 * axes))
    around = pads[axis], pads[axes + axis]
    if node.op_type == "ConvTranspose":
        extra = ints(node, "output_padding", [0] * axes)[axis]
        return _seen_between(k, size, stride, dilation, around, extra)
    return _seen_within(k, size, stride, dilation, around)


@lru_cache(_KEPT)
def _seen_within(
    k: int, size: int | None, stride: int, dilation: int, around: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Return it for a layer that slides over ``size`` pixels, padded by so many on both sides."""
    if size is None:
        return np.ones((1, k), bool)
    taps = np.arange(k) * dilation
    count = (size + sum(around) - taps[-1] - 1) // stride + 1
    at = np.arange(max(count, 1))[:, None] * stride - around[0] + taps
    return np.asarray((at >= 0) & (at < size))


@lru_cache(_KEPT)
def _seen_between(
    k: int, size: int | None, stride: int, dilation: int, around: tuple[int, int], extra: int
) -> npt.NDArray[np.bool_]:
    """Return it for a transposed layer, whose stride puts zeros between pixels."""
    taps = np.arange(k) * dilation
    if size is None:
        return np.asarray((np.arange(stride)[:, None] - taps) % stride == 0)
    count = (size - 1) * stride + taps[-1] + 1 + extra - sum(around)
    at = np.arange(max(count, 1))[:, None] + around[0] - taps
    return np.asarray((at % stride == 0) & (at >= 0) & (at < size * stride))


def grouped(node: ir.Node, weight: np.ndarray) -> np.ndarray:
    """View a weight as (groups, outputs per group, inputs per group, taps)."""
    if node.op_type == "MatMul":
        return weight.T.reshape(1, weight.shape[-1], -1, 1)
    groups = node.attributes.get_int("group", 1)
    if node.op_type == "ConvTranspose":
        split = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        return split.swapaxes(1, 2)
    return weight.reshape(groups, len(weight) // groups, -1, int(np.prod(weight.shape[2:])) or 1)


def over_taps(split: np.ndarray, shares: Array) -> np.ndarray:
    """Sum over taps, each with its share: (g, O/g, C/g, K) times (K,) to (g, O/g, C/g).

    A single tap is no sum, and as a matrix product it takes ten times as long.
    """
    shares = shares.astype(split.dtype)
    product: np.ndarray = split[..., 0] * shares[0] if len(shares) == 1 else split @ shares
    return product


def powers_over_taps(split: np.ndarray, shares: Array) -> np.ndarray:
    """Do the same with the squares of a weight, some rows at a time: they stay in the cache."""
    squared = [over_taps(np.square(split[:, rows]), shares) for rows in in_the_cache(split)]
    return squared[0] if len(squared) == 1 else np.concatenate(squared, axis=1)


def in_the_cache(split: np.ndarray) -> list[slice]:
    """Return which outputs of a weight (g, O/g, ...) to look at together, so that they stay there.

    As a whole, a large one goes through memory once for each step: that takes twice as long.
    """
    outputs = split.shape[1]
    rows = max(_CACHED * outputs // max(split.size, 1), 1)
    if len(split) > 1 or rows >= outputs:
        return [slice(None)]
    return [slice(start, start + rows) for start in range(0, outputs, rows)]


_CACHED = 1 << 16
"""Numbers."""


def per_output(matrix: np.ndarray, vector: Array) -> Array:
    """Sum over input channels: (g, O/g, C/g) times (C,) to (O,)."""
    split = vector.reshape(len(matrix), -1, 1).astype(matrix.dtype)
    product: Array = (matrix @ split).reshape(-1).astype(np.float64)
    return product


def linear(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Conv, ConvTranspose, Gemm (x W^T + b) and MatMul by a constant weight."""
    if inputs[0] is None or not _is_known(node, inputs[0]):
        return None
    x = over_space(inputs[0])
    weight, bias = weight_and_bias(node)
    whole = grouped(node, weight)
    size = whole.shape[0] * whole.shape[2]
    mean, var, low, high = (channels(array) for array in (x.mean, x.var, x.low, x.high))
    if len(mean) not in (1, size):
        return None
    mean, var, low, high = (np.broadcast_to(array, size) for array in (mean, var, low, high))
    centre, total, lowest, highest = (
        np.concatenate(found)
        for found in zip(
            *(_of_rows(node, rows, mean, var, low, high) for rows in _blocks(whole)), strict=True
        )
    )
    layout = (1, -1) + (1,) * (x.mean.ndim - 2)
    return [
        stats(
            (centre + bias).reshape(layout),
            total.reshape(layout),
            (lowest + bias).reshape(layout),
            (highest + bias).reshape(layout),
        )
    ]


def _of_rows(
    node: ir.Node, split: np.ndarray, mean: Array, var: Array, low: Array, high: Array
) -> tuple[Array, Array, Array, Array]:
    """Return mean, variance and bounds of some of a layer's outputs, without its bias."""
    seen, share = windows(node)
    summed, squares = _over_seen(split, seen), _over_seen(np.square(split), seen)
    spread = (1 - NEIGHBOUR_CORRELATION) * squares + NEIGHBOUR_CORRELATION * np.square(summed)
    centres = _over_inputs(summed, mean)
    centre = centres @ share
    total = (_over_inputs(spread, var) + np.square(centres - centre[:, None])) @ share
    return centre, total, *_bounds(node, split, low, high)


_BLOCK, _LARGE = 1 << 20, 1 << 23
"""Numbers of a weight that are looked at together, and from which on not all are: a few copies are
made of them."""


def _blocks(split: np.ndarray) -> list[np.ndarray]:
    """Cut a large weight without groups into blocks of output channels."""
    groups, outputs = split.shape[:2]
    if groups > 1 or split.size < _LARGE:
        return [split]
    rows = max(_BLOCK * outputs // split.size, 1)
    return [split[:, start : start + rows] for start in range(0, outputs, rows)]


def _is_known(node: ir.Node, x: ChannelStats) -> bool:
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if not is_constant(weight) or not (bias is None or is_constant(bias)):
        return False
    if node.op_type == "MatMul":
        return x.mean.ndim == 2 and rank(weight) == 2
    if node.op_type == "Gemm":
        get = node.attributes
        plain = get.get_float("alpha", 1.0) == get.get_float("beta", 1.0) == 1
        turned = get.get_int("transA", 0) == 0 and get.get_int("transB", 0) == 1
        return plain and turned and (rank(bias) or 0) <= 1
    return True


def _over_seen(split: np.ndarray, seen: Array) -> np.ndarray:
    """Sum over the taps seen at each kind of position: (g, O/g, C/g, K) to (g, O/g, C/g, P).

    One tap after the other: as a product with so narrow a matrix it takes seven times as long.
    """
    if seen.shape == (1, 1) and seen.all():
        return split
    taps = np.ascontiguousarray(np.moveaxis(split, -1, 0))
    sums = np.zeros((seen.shape[1], *split.shape[:3]), split.dtype)
    for tap, kinds in zip(taps, seen, strict=True):
        for kind in np.flatnonzero(kinds):
            sums[kind] += tap
    return np.ascontiguousarray(np.moveaxis(sums, 0, -1))


def _over_inputs(matrix: np.ndarray, vector: Array) -> Array:
    """Sum over input channels: (g, O/g, C/g, P) times (C,) to (O, P)."""
    rows = vector.reshape(len(matrix), 1, 1, -1).astype(matrix.dtype)
    product: Array = (rows @ matrix).reshape(-1, matrix.shape[-1]).astype(np.float64)
    return product


def _bounds(node: ir.Node, split: np.ndarray, low: Array, high: Array) -> tuple[Array, Array]:
    """Interval arithmetic; infinite for all outputs unless every bound of the input is finite."""
    outputs = split.shape[0] * split.shape[1]
    finite = np.isfinite(low).all() and np.isfinite(high).all()
    if node.op_type == "ConvTranspose" or not finite:
        return np.full(outputs, -np.inf), np.full(outputs, np.inf)
    if pads_itself(node) or any(ints(node, "pads", [0])):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    up = np.maximum(split, 0).sum(axis=-1)
    down = split.sum(axis=-1) - up
    return (
        per_output(up, low) + per_output(down, high),
        per_output(up, high) + per_output(down, low),
    )


def batchnorm(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """A BatchNormalization that was not folded: a x + b per channel."""
    x = inputs[0]
    if x is None or not all(map(is_constant, node.inputs[1:5])):
        return None
    layout = (1, -1) + (1,) * (x.mean.ndim - 2)
    a, b = (array.reshape(layout) for array in batchnorm_affine(node))
    ends = [times(a, x.low) + b, times(a, x.high) + b]
    return [stats(a * x.mean + b, a**2 * x.var, np.minimum(*ends), np.maximum(*ends))]


LINEAR: dict[str, Rule] = {
    "BatchNormalization": batchnorm,
    "Conv": linear,
    "ConvTranspose": linear,
    "Gemm": linear,
}
