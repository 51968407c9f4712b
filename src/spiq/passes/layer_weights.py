"""The weights of layers, and per-channel affine steps beside a layer that they can take in.

With y = W x + c, and a and b per channel,

    a y + b        =  (a W) x + (a c + b)       rows times a, exact for every layer
    W (a x + b)    =  (W a) x + (W b + c)       columns times a, exact where nothing is padded

A ConvTranspose's weight (C, O/g, ...) is seen as (g, C/g, O/g, ...).
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer
from spiq.graph.lazy import Change, Later, changed
from spiq.graph.query import Array, constant, ints, is_constant, rank, stored_dtype, stored_shape


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
    if b.any() and not all_take_columns(value):
        return False
    if not readers or len(plain) < len(readers) or any(value in n.inputs[1:] for n in readers):
        return False
    for reader in readers:
        take_columns(reader, a, b)
    return True


def all_take_columns(value: ir.Value) -> bool:
    """Return whether all that read a tensor can compute from x what they do from a x + b."""
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


def take_columns(node: ir.Node, a: Array, b: Array) -> None:
    """Let a layer compute from x what it computed from a x + b, with a and b per input, (C,)."""
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
