"""Fold per-channel affine steps into the layer beside them, and keep what they knew.

A BatchNormalization computes a x + b with a = gamma / sqrt(var + eps) and b = beta - mean a. It
states the moments of its output, N(beta, gamma^2 var / (var + eps)), and of its input,
N(mean, var). Both are recorded before the node goes.

1. Conv, ConvTranspose or Gemm in front of it, read by nothing else: rows times a.
2. Convolutions without padding or Gemms behind it, nothing else: columns times a, bias plus W b.
3. Otherwise it stays; in integers it is a 1x1 depthwise convolution.

Mul, Div, Add and Sub by a constant per channel fold by rule 1 too (they state no moments).
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import bypass_step
from spiq.graph.query import Array, constant, is_constant, rank, sole_consumer
from spiq.passes.layer_weights import all_take_columns, can_take_rows, scale_rows, take_columns

LARGEST = 1e15
"""Factors and shifts beyond which nothing is folded."""


@dataclass(frozen=True)
class Moments:
    """Mean and variance per channel, shape (C,), as a normalization layer states them.

    ``source`` is ``synthetic`` where they were observed on synthetic images instead, ``data`` where
    on real ones, too. ``doubt``, of one shape with the mean or a single number, is the spread of
    the logarithm of the deviation. ``layout`` has the sizes of the axes that channels lie along;
    None where it is the second.
    """

    mean: Array
    var: Array
    source: str = "norm"
    doubt: Array | float = 0.0
    layout: tuple[int, ...] | None = None

    def through(self, a: Array, b: Array) -> "Moments":
        """Return the moments of ``a x + b``."""
        return Moments(a * self.mean + b, a**2 * self.var, self.source, self.doubt)


@dataclass(frozen=True)
class Norm:
    """A BatchNormalization as it was before it was folded.

    Attributes:
        name: Name of its node.
        value: The tensor that held its input x, and holds a x + b where the layer in front took
            it in.
        a, b: The affine step that ``value`` has had since, shape (C,); None where it still is x.
        input: The moments of x that the BatchNormalization states, its running statistics.
    """

    name: str
    value: ir.Value
    input: Moments
    a: Array | None = None
    b: Array | None = None

    def then(self, a: Array, b: Array) -> "Norm":
        """Return the norm where ``value`` has had one more affine step."""
        if self.a is None or self.b is None:
            return replace(self, a=a, b=b)
        return replace(self, a=a * self.a, b=a * self.b + b)


class Record(Protocol):
    """Where the passes note the moments of a value, by name."""

    def __call__(self, value: ir.Value, moments: Moments, /) -> None:
        """Note ``moments`` of ``value``."""


def batchnorm_affine(node: ir.Node) -> tuple[Array, Array]:
    """Return a and b of ``a x + b``, shape (C,), in float64."""
    gamma, beta, mean, var = _parameters(node)
    a = gamma / np.sqrt(var + node.attributes.get_float("epsilon", 1e-5))
    return a, beta - mean * a


def batchnorm_moments(node: ir.Node) -> tuple[Moments, Moments]:
    """Return the moments that a BatchNormalization states of its input and of its output."""
    gamma, beta, mean, var = _parameters(node)
    shrink = var / (var + node.attributes.get_float("epsilon", 1e-5))
    return Moments(mean, var), Moments(beta, gamma**2 * shrink)


def _parameters(node: ir.Node) -> tuple[Array, Array, Array, Array]:
    arrays = [constant(value) for value in node.inputs[1:5]]
    gamma, beta, mean, var = (np.asarray(array, np.float64) for array in arrays)
    return gamma, beta, mean, var


def fold_batchnorm(model: ir.Model, record: Record) -> list[Norm]:
    """Fold every per-channel affine step that can be folded exactly.

    Returns:
        Every BatchNormalization that the network had, folded or not.
    """
    norms: dict[ir.Value, list[Norm]] = {}
    noted: dict[ir.Value, Moments] = {}
    for node in list(model.graph):
        affine = channel_affine(node)
        if affine is None:
            continue
        source, result = _data_input(node), node.outputs[0]
        before = source.producer()
        inward = can_take_rows(before) and sole_consumer(source) is node
        if node.op_type == "BatchNormalization":
            norm, stated = _stated(node, source, inward=inward)
            noted |= stated
            norms.setdefault(source, []).append(norm)
        elif inward and source in noted:
            noted[source] = noted[source].through(*affine)
        if inward:
            assert before is not None
            scale_rows(before, *affine)
            if source in norms:
                norms[source] = [norm.then(*affine) for norm in norms[source]]
        elif node.op_type == "BatchNormalization" and all_take_columns(result):
            for reader in result.consumers():
                take_columns(reader, *affine)
        else:
            continue
        _drop(node)
    for value, moments in noted.items():
        record(value, moments)
    return [norm for found in norms.values() for norm in found]


def _stated(
    node: ir.Node, source: ir.Value, *, inward: bool
) -> tuple[Norm, dict[ir.Value, Moments]]:
    """Return what a BatchNormalization states; folded inward, its input becomes its output."""
    stated_in, stated_out = batchnorm_moments(node)
    moments = {source: stated_out} if inward else {node.outputs[0]: stated_out, source: stated_in}
    return Norm(str(node.name), source, stated_in), moments


def _data_input(node: ir.Node) -> ir.Value:
    value = node.inputs[1] if is_constant(node.inputs[0]) else node.inputs[0]
    assert value is not None
    return value


def _drop(node: ir.Node) -> None:
    if not bypass_step(node):
        raise AssertionError(f"cannot remove {node.name}: its input is the network's own")


def channel_affine(node: ir.Node) -> tuple[Array, Array] | None:
    """Return a and b, shape (C,), of a step a x + b by constants; None for other operators."""
    if node.domain != "":
        return None
    if node.op_type == "BatchNormalization":
        return batchnorm_affine(node) if all(map(is_constant, node.inputs[1:5])) else None
    if node.op_type not in ("Mul", "Div", "Add", "Sub"):
        return None
    first, second = (constant(value) for value in node.inputs[:2])
    if (first is None) == (second is None):
        return None
    data = _data_input(node)
    array = _per_channel(second if first is None else first, data)
    if array is None:
        return None
    ones, zeros = np.ones_like(array), np.zeros_like(array)
    if node.op_type == "Mul":
        return array, zeros
    if node.op_type == "Add":
        return ones, array
    if first is not None:
        return (-ones, array) if node.op_type == "Sub" else None
    if node.op_type == "Sub":
        return ones, -array
    return (1 / array, zeros) if (np.abs(array) >= 1 / LARGEST).all() else None


def _per_channel(array: np.ndarray | None, data: ir.Value) -> Array | None:
    """Return ``array`` as shape (C,) where it varies with the channel alone."""
    size = rank(data)
    if array is None or size is None or size < 2 or data.shape is None:
        return None
    channels = data.shape[1]
    if not isinstance(channels, int) or array.ndim > size or array.dtype.kind != "f":
        return None
    if not (np.abs(array.astype(np.float64)) <= LARGEST).all():  # a mask stays what it is
        return None
    aligned = array.reshape((1,) * (size - array.ndim) + array.shape)
    if aligned.size not in (1, channels) or aligned.shape[1] not in (aligned.size, channels):
        return None
    return np.broadcast_to(aligned.reshape(-1), channels).astype(np.float64)
