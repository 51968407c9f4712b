"""Small questions that every pass asks of a graph."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Array = npt.NDArray[np.float64]


def constant(value: ir.Value | None) -> npt.NDArray[np.generic] | None:
    """Return what an initializer holds, or None where ``value`` is not constant."""
    if value is None or value.const_value is None or not value.is_initializer():
        return None
    return value.const_value.numpy()


def is_constant(value: ir.Value | None) -> bool:
    """Return whether ``value`` is an initializer (its content is not read)."""
    return value is not None and value.is_initializer() and value.const_value is not None


def stored_shape(value: ir.Value | None) -> tuple[int, ...]:
    """Return the shape of what an initializer holds (its content is not read)."""
    assert value is not None and value.const_value is not None
    shape: tuple[int, ...] = tuple(value.const_value.shape.numpy())
    return shape


def stored_dtype(value: ir.Value | None) -> ir.DataType:
    """Return the type of what an initializer holds (its content is not read)."""
    assert value is not None and value.const_value is not None
    return value.const_value.dtype


def data_inputs(node: ir.Node) -> list[ir.Value]:
    """Return the inputs of ``node`` that depend on the network's input."""
    return [value for value in node.inputs if value is not None and not is_constant(value)]


def sole_consumer(value: ir.Value) -> ir.Node | None:
    """Return the only node that reads ``value``; None if several do or it is a graph output."""
    consumers = value.consumers()
    return consumers[0] if len(consumers) == 1 and not value.is_graph_output() else None


def feeds_only(value: ir.Value, operator: str) -> bool:
    """Return whether ``value`` is read by nodes of type ``operator`` and by nothing else."""
    consumers = value.consumers()
    return (
        bool(consumers)
        and not value.is_graph_output()
        and all(node.op_type == operator and node.domain == "" for node in consumers)
    )


def dims(value: ir.Value | None) -> list[int | None] | None:
    """Return the shape of ``value``, None for each dynamic size; None if the rank is unknown."""
    if value is None or value.shape is None:
        return None
    return [size if isinstance(size, int) else None for size in value.shape]


def shape_text(shape: Sequence[object] | ir.Shape | None) -> str:
    """Return a shape as its network states it: ``[N, 3, ?, 224]``, ? for a size without a name."""
    if shape is None:
        return "[...]"
    sizes = (size.value if isinstance(size, ir.SymbolicDim) else size for size in shape)
    return f"[{', '.join('?' if _nameless(size) else str(size) for size in sizes)}]"


def _nameless(size: object) -> bool:
    return size is None or str(size).startswith("unk__")  # as shape inference calls them


def shown(value: ir.Value | None) -> str:
    """Return how messages show the shape of a tensor, the names of dynamic sizes included."""
    return shape_text(None if value is None else value.shape)


def rank(value: ir.Value | None) -> int | None:
    """Return the number of dimensions of ``value``, None if unknown."""
    shape = dims(value)
    return None if shape is None else len(shape)


def spatial(value: ir.Value | None) -> list[int] | None:
    """Return the sizes behind batch and channel, or None where any of them is dynamic."""
    shape = dims(value)
    if shape is None or len(shape) < 3 or any(size is None for size in shape[2:]):
        return None
    return [size for size in shape[2:] if size is not None]


def is_float32(value: ir.Value | None) -> bool:
    """Return whether ``value`` holds float32 numbers."""
    return value is not None and value.dtype == ir.DataType.FLOAT


def holds_floats(value: ir.Value) -> bool:
    """Return whether an input or output holds float32 numbers, or of half or double precision.

    What is between is float32 in any case.
    """
    return value.dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


def is_float(value: ir.Value) -> bool:
    """Return whether ``value`` holds floating point numbers, or may."""
    return value.dtype is None or value.dtype.is_floating_point()


def where(node: ir.Node) -> str:
    """Return how messages name a node: ``Conv 'stem/conv'``, ``com.microsoft.FusedConv 'c'``."""
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return f"{operator} '{node.name or node.outputs[0].name}'"


def ints(node: ir.Node, name: str, default: list[int]) -> list[int]:
    """Return an attribute that is a list of integers."""
    found = node.attributes.get_ints(name)
    return list(default) if found is None else [int(size) for size in found]


def layer_nodes(graph: ir.Graph) -> list[ir.Node]:
    """Return what a user calls the layers, also those whose weight is computed at run time."""
    kinds = ("Conv", "ConvTranspose", "Gemm", "MatMul")
    plain = (node for node in graph if node.domain == "" and node.op_type in kinds)
    return [node for node in plain if len(node.inputs) > 1]


def weight_nodes(graph: ir.Graph) -> list[ir.Node]:
    """Return the layers that multiply by a constant weight: those that can be quantized."""
    return [node for node in layer_nodes(graph) if has_weight(node)]


def has_weight(node: ir.Node) -> bool:
    """Return whether a layer multiplies by a constant weight; a stack of matrices is none."""
    weight = node.inputs[1]
    return is_constant(weight) and (node.op_type != "MatMul" or (rank(weight) or 0) <= 2)
