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

from spiq.graph.edit import bypass, initializer
from spiq.graph.lazy import Change, Later, changed
from spiq.graph.query import (
    Array,
    constant,
    ints,
    is_constant,
    rank,
    sole_consumer,
    stored_dtype,
    stored_shape,
)

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
        readers = result.consumers()
        if node.op_type == "BatchNormalization":
            stated_in, stated_out = batchnorm_moments(node)
            noted[source if inward else result] = stated_out
            norms.setdefault(source, []).append(Norm(str(node.name), source, stated_in))
            if not inward:
                noted[source] = stated_in
        elif inward and source in noted:
            noted[source] = noted[source].through(*affine)
        if inward:
            assert before is not None
            scale_rows(before, *affine)
            if source in norms:
                norms[source] = [norm.then(*affine) for norm in norms[source]]
        elif node.op_type == "BatchNormalization" and _all_take_columns(result):
            for reader in readers:
                _scale_columns(reader, *affine)
        else:
            continue
        _drop(node)
    for value, moments in noted.items():
        record(value, moments)
    return [norm for found in norms.values() for norm in found]


def _data_input(node: ir.Node) -> ir.Value:
    value = node.inputs[1] if is_constant(node.inputs[0]) else node.inputs[0]
    assert value is not None
    return value


def _drop(node: ir.Node) -> None:
    if is_constant(node.inputs[0]):
        node.replace_input_with(0, node.inputs[1])
    if not bypass(node):
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


def can_take_rows(node: ir.Node | None) -> bool:
    """Return whether a layer can compute a y + b in the place of y, by :func:`scale_rows`."""
    if node is None or node.domain != "" or len(node.inputs) < 2:
        return False
    if not is_constant(node.inputs[1]) or stored_dtype(node.inputs[1]) != ir.DataType.FLOAT:
        return False
    if len(node.inputs) > 2 and node.inputs[2] is not None and not is_constant(node.inputs[2]):
        return False
    if node.op_type == "Gemm":
        plain = all(node.attributes.get_float(name, 1.0) == 1 for name in ("alpha", "beta"))
        return plain and node.attributes.get_int("transB", 0) == 1 and _bias_is_vector(node)
    return node.op_type in ("Conv", "ConvTranspose")


def _bias_is_vector(node: ir.Node) -> bool:
    return len(node.inputs) < 3 or node.inputs[2] is None or rank(node.inputs[2]) == 1


def scale_rows(node: ir.Node, a: Array, b: Array) -> None:
    """Let a layer compute a y + b in the place of y, with a and b per output, shape (O,)."""
    groups, transposed = node.attributes.get_int("group", 1), node.op_type == "ConvTranspose"
    shape = rows_shape(node, stored_shape(node.inputs[1]))

    def scaled(weight: np.ndarray) -> np.ndarray:
        split = weight.reshape(groups, -1, *weight.shape[1:]) if transposed else weight
        made: np.ndarray = split * a.reshape(shape).astype(weight.dtype)
        return made.reshape(weight.shape)

    set_weight_and_bias(node, reweighted(node, scaled), a * bias_of(node) + b)


def rows_shape(node: ir.Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape under which a vector per output channel multiplies the weight.

    A ConvTranspose's weight (C, O/g, ...) is to be seen as (g, C/g, O/g, ...).
    """
    if node.op_type == "ConvTranspose":
        groups = node.attributes.get_int("group", 1)
        return (groups, 1, shape[1]) + (1,) * (len(shape) - 2)
    return (-1,) + (1,) * (len(shape) - 1)


def fold_into_readers(value: ir.Value, a: Array, b: Array) -> bool:
    """Let layers compute from x what they computed from a x + b, with a and b per channel.

    False, and nothing changes, where a reader cannot: with zeros around x, b does not fold.
    """
    readers = value.consumers()
    plain = [n for n in readers if n.op_type == "Conv" and can_take_rows(n)]
    if b.any() and not _all_take_columns(value):
        return False
    if not readers or len(plain) < len(readers) or any(value in n.inputs[1:] for n in readers):
        return False
    for reader in readers:
        _scale_columns(reader, a, b)
    return True


def _all_take_columns(value: ir.Value) -> bool:
    readers = value.consumers()
    return (
        bool(readers)
        and not value.is_graph_output()
        and all(_can_take_columns(reader, value) for reader in readers)
    )


def _can_take_columns(node: ir.Node, value: ir.Value) -> bool:
    if not can_take_rows(node) or value in node.inputs[1:] or node.inputs[0] is not value:
        return False
    if node.op_type != "Conv":
        return node.op_type == "Gemm"
    unpadded = node.attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    return unpadded and not any(ints(node, "pads", [0]))


def _scale_columns(node: ir.Node, a: Array, b: Array) -> None:
    weight, bias = weight_and_bias(node)
    groups = node.attributes.get_int("group", 1)
    moved = scale_columns(node, weight.astype(np.float64), b).reshape(len(weight), -1)
    scaled = reweighted(node, lambda weight: columns_scaled(groups, weight, a))
    set_weight_and_bias(node, scaled, bias + moved.sum(axis=1))


def scale_columns(node: ir.Node, weight: np.ndarray, factor: Array) -> np.ndarray:
    """Multiply a weight (O, C/g, ...) by ``factor`` per input channel, shape (C,)."""
    return columns_scaled(node.attributes.get_int("group", 1), weight, factor)


def columns_scaled(groups: int, weight: np.ndarray, factor: Array) -> np.ndarray:
    """Do what :func:`scale_columns` does for a layer of so many groups."""
    split = weight.reshape(groups, -1, *weight.shape[1:])
    per_group = factor.reshape(groups, 1, -1, *(1,) * (weight.ndim - 2))
    scaled: np.ndarray = split * per_group.astype(weight.dtype)
    return scaled.reshape(weight.shape)


def weight_and_bias(node: ir.Node) -> tuple[np.ndarray, Array]:
    """Return a layer's weight as stored and its bias, shape (O,), in float64 (zeros if none)."""
    weight = constant(node.inputs[1])
    assert weight is not None
    return weight, bias_of(node)


def bias_of(node: ir.Node) -> Array:
    """Return a layer's bias, shape (O,), in float64; zeros if it has none."""
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        return np.asarray(constant(node.inputs[2]), np.float64)
    shape = stored_shape(node.inputs[1])
    if node.op_type == "ConvTranspose":
        return np.zeros(shape[1] * node.attributes.get_int("group", 1))
    return np.zeros(shape[-1] if node.op_type == "MatMul" else shape[0])


def reweighted(node: ir.Node, change: Change) -> np.ndarray | Later:
    """Return what ``change``, which keeps its shape, makes of a layer's weight."""
    return changed(node.inputs[1], change, stored_shape(node.inputs[1]))


def set_weight_and_bias(node: ir.Node, weight: np.ndarray | Later, bias: Array) -> None:
    """Give a layer a new weight and bias; initializers that others share are left alone."""
    graph, old = node.graph, node.inputs[1]
    assert isinstance(graph, ir.Graph) and old is not None
    made = initializer(graph, f"{old.name}_folded", weight)
    node.replace_input_with(1, made)
    assert made.dtype is not None
    shift = initializer(graph, f"{old.name}_bias", bias.astype(made.dtype.numpy()))
    spent = [old, *node.inputs[2:3]]
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, shift)
    for value in spent:
        if value is not None and not value.uses() and not value.is_graph_output():
            graph.initializers.pop(str(value.name), None)
