"""Networks in half precision, computed in single: what integer kernels stand between.

CPUs compute half precision by way of single, so nothing is lost: weights keep the numbers that they
have, a Cast stands behind each input and in front of each output in half precision, and all between
is single.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import unique_name

_HALF, _SINGLE = ir.DataType.FLOAT16, ir.DataType.FLOAT
_CHOSEN = frozenset({"DequantizeLinear", "QuantizeLinear"})


def half_as_single(model: ir.Model) -> int:
    """Compute in single precision, in place; return how many weights were in half."""
    graph = model.graph
    if any(node.op_type in _CHOSEN for node in graph):
        return 0
    halves = [value for value in graph.initializers.values() if value.dtype == _HALF]
    if not halves:
        return 0
    edges = {*graph.inputs, *graph.outputs}  # which keep their types
    for part in _graphs(graph):
        _widen(part, edges)
    for value in graph.inputs:
        if value.dtype == _HALF:
            _cast_behind(graph, value)
    for index, value in enumerate(graph.outputs):
        if value.dtype == _HALF:
            _cast_before_output(graph, index)
    return len(halves)


def _graphs(graph: ir.Graph) -> Iterator[ir.Graph]:
    """Yield a graph and those inside of its nodes."""
    yield graph
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                yield from _graphs(attribute.as_graph())


def _widen(graph: ir.Graph, edges: set[ir.Value]) -> None:
    """Make weights and results single."""
    for weight in graph.initializers.values():
        if weight.dtype == _HALF and weight.const_value is not None:
            array = weight.const_value.numpy().astype(np.float32)
            weight.const_value = ir.Tensor(array, name=weight.name)
            weight.type = ir.TensorType(_SINGLE)
    results = [value for node in graph for value in node.outputs]
    for value in (*graph.inputs, *results):
        if value.dtype == _HALF and value not in edges:
            value.type = ir.TensorType(_SINGLE)
    for node in graph:
        if node.op_type == "Cast" and node.attributes.get_int("to", 0) == _HALF:
            node.attributes["to"] = ir.AttrInt64("to", int(_SINGLE))
        held = node.attributes.get("value")
        if held is None or held.type != ir.AttributeType.TENSOR:
            continue
        if held.as_tensor().dtype == _HALF:
            single = ir.Tensor(held.as_tensor().numpy().astype(np.float32))
            node.attributes["value"] = ir.AttrTensor("value", single)


def _cast_behind(graph: ir.Graph, value: ir.Value) -> None:
    name = unique_name(graph, f"{value.name}_single")
    made = ir.Value(name=name, type=ir.TensorType(_SINGLE), shape=value.shape)
    value.replace_all_uses_with(made)
    cast = ir.node("Cast", [value], {"to": int(_SINGLE)}, outputs=[made], name=name)
    first = next(iter(graph), None)
    if first is None:
        graph.append(cast)
    else:
        graph.insert_before(first, cast)


def _cast_before_output(graph: ir.Graph, index: int) -> None:
    value = graph.outputs[index]
    name, source = str(value.name), value
    source.name = unique_name(graph, f"{name}_single")
    made = ir.Value(name=name, type=ir.TensorType(_HALF), shape=value.shape)
    source.type = ir.TensorType(_SINGLE)
    graph.append(ir.node("Cast", [source], {"to": int(_HALF)}, outputs=[made], name=f"{name}_half"))
    graph.outputs[index] = made
