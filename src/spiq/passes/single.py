"""Networks in half precision, computed in single: what integer kernels stand between.

CPUs compute half precision by way of single, so nothing is lost: weights keep the numbers that they
have, a Cast stands behind each input and in front of each output in half precision, and all between
is single.
"""

import onnx_ir as ir

from spiq.graph.edit import unique_name
from spiq.graph.widened import widened

_HALF, _SINGLE = ir.DataType.FLOAT16, ir.DataType.FLOAT


def half_as_single(model: ir.Model) -> int:
    """Compute in single precision, in place; return how many weights were in half."""
    graph = model.graph
    halves = [value for value in graph.initializers.values() if value.dtype == _HALF]
    if not halves:
        return 0
    edges = {*graph.inputs, *graph.outputs}  # which keep their types
    if any(value.dtype == _HALF and not _is_tensor(value) for value in edges):
        return 0  # no Cast takes a sequence
    widened(model, {_HALF}, edges)
    for value in (*graph.inputs, *graph.initializers.values()):
        if value.dtype == _HALF:
            _cast_behind(graph, value)
    for index, value in enumerate(graph.outputs):
        if value.dtype == _HALF and value.producer() is not None:
            _cast_before_output(graph, index)
    return len(halves)


def _is_tensor(value: ir.Value) -> bool:
    return isinstance(value.type, ir.TensorType)


def _cast_behind(graph: ir.Graph, value: ir.Value) -> None:
    name = unique_name(graph, f"{value.name}_single")
    made = ir.Value(name=name, type=ir.TensorType(_SINGLE), shape=value.shape)
    for node, index in tuple(value.uses()):
        node.replace_input_with(index, made)
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
