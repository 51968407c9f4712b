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
            cast_before_output(graph, index, inside=_SINGLE, outside=_HALF)
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


def cast_before_output(
    graph: ir.Graph, index: int, *, inside: ir.DataType, outside: ir.DataType
) -> None:
    """Put a Cast in front of an output, in place: ``inside`` is what is computed."""
    source = graph.outputs[index]
    name = str(source.name)
    source.name = unique_name(graph, f"{name}_{_WORDS[inside]}")
    made = ir.Value(name=name, type=ir.TensorType(outside), shape=source.shape)
    source.type = ir.TensorType(inside)
    attributes, own = {"to": int(outside)}, f"{name}_{_WORDS[outside]}"
    graph.append(ir.node("Cast", [source], attributes, outputs=[made], name=own))
    graph.outputs[index] = made


_WORDS = {_HALF: "half", _SINGLE: "single"}
