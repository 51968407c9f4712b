"""Shapes and types of all values, by ONNX's own inference on a model without its weights.

Two kinds of knowledge are kept apart. What follows from the inputs' shapes is *inferred*; the
numbers that passes compute rest on it alone. What a file *states* of the values behind may be true
of another batch, or of nothing: it is set aside when the model is read, and comes back only when
the passes are done, for sizes that nothing else tells.
"""

import logging
from collections.abc import Mapping

import onnx
import onnx_ir as ir

from spiq.graph.skeleton import skeleton

Size = int | ir.SymbolicDim

_STATED = "spiq.stated"

FAILURES = (onnx.shape_inference.InferenceError, RuntimeError, ValueError)
"""What inference raises where shapes or types contradict each other."""

_LONG = 1 << 16
"""Numbers of a list that no shape is made of."""

_log = logging.getLogger(__name__)


def infer(model: ir.Model) -> None:
    """Give the values of the main graph their shape and type where they can be inferred, in place.

    A shape that cannot be inferred stays as it is: whoever needs it says so.

    Args:
        model: A valid, sorted model.
    """
    try:
        found = inferred(without_stated(skeleton(model)))
    except FAILURES as error:
        _log.info("shapes are not inferred: %s", error)
        return
    assign(model, found)


def inferred(proto: onnx.ModelProto, *, strict: bool = False) -> onnx.ModelProto:
    """Return a model with the types and shapes of its values.

    Numbers that shapes are computed from are followed where that succeeds, and where none of the
    lists is long: followed one by one, 40 doublings of a list take all memory.

    Args:
        proto: The model without its large weights, nodes sorted.
        strict: Raise for types and shapes that contradict each other.
    """
    plain = onnx.shape_inference.infer_shapes(proto, check_type=strict, strict_mode=strict)
    if _has_long_list(plain.graph):
        return plain
    try:
        return onnx.shape_inference.infer_shapes(
            proto, check_type=strict, strict_mode=strict, data_prop=True
        )
    except FAILURES:  # numbers in shapes are a help, not what decides
        return plain


def _has_long_list(graph: onnx.GraphProto) -> bool:
    """Return whether a Concat, which alone makes lists longer, makes a long one."""
    joined = {node.output[0] for node in graph.node if node.op_type == "Concat"}
    for info in graph.value_info:
        sizes = info.type.tensor_type.shape.dim
        if info.name in joined and len(sizes) == 1 and sizes[0].dim_value > _LONG:
            return True
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    inner = (body for a in attributes for body in (a.g, *a.graphs))
    return any(map(_has_long_list, inner))


def without_stated(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model, changed in place, that says nothing of the shapes behind its inputs."""
    del proto.graph.value_info[:]
    inputs = {value.name for value in proto.graph.input}
    for output in proto.graph.output:
        if output.name not in inputs and output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    return proto


def assign(model: ir.Model, inferred: onnx.ModelProto) -> None:
    """Give the values of the main graph the shapes and types of an inferred model, in place.

    What the model states is set aside; where nothing is inferred, its rank is kept.
    """
    _set_aside(model.graph)
    values = {value.name: value for node in model.graph for value in node.outputs}
    for info in (*inferred.graph.value_info, *inferred.graph.output):
        value = values.get(info.name)
        if value is None:
            continue
        shape = ir.serde.deserialize_type_proto_for_shape(info.type)
        kind = ir.serde.deserialize_type_proto_for_type(info.type)
        if shape is not None:
            value.shape = shape
        if kind is not None:
            value.type = kind


def _set_aside(graph: ir.Graph) -> None:
    """Keep what the file states of each value beside it, once; its rank stays."""
    if _STATED in graph.meta:
        return
    stated: dict[str, ir.Shape] = {}
    for value in (value for node in graph for value in node.outputs):
        if value.shape:
            stated[value.name or ""] = value.shape
            value.shape = ir.Shape([None] * len(value.shape))
    graph.meta[_STATED] = stated


def take_stated(model: ir.Model) -> None:
    """Let what the file states stand for sizes that are not inferred, in place.

    And what follows from it: exporters state the result of an operation, and not of each node that
    it is made of.
    """
    stated = model.graph.meta.pop(_STATED, {})
    taken = _filled(model.graph, stated)
    if not taken:
        return
    try:
        found = inferred(skeleton(model)).graph.value_info
    except FAILURES as error:  # what is stated contradicts itself
        _log.info("nothing follows from what is stated: %s", error)
        return
    shapes = {info.name: ir.serde.deserialize_type_proto_for_shape(info.type) for info in found}
    _filled(model.graph, {name: shape for name, shape in shapes.items() if shape is not None})


def _filled(graph: ir.Graph, shapes: Mapping[str, ir.Shape]) -> int:
    """Fill unknown sizes of values by these shapes, in place; return how many values changed."""
    changed = 0
    for value in (value for node in graph for value in node.outputs):
        shape = shapes.get(value.name or "")
        if shape is not None and value.shape is not None and len(shape) == len(value.shape):
            sizes = [_size(*pair) for pair in zip(value.shape, shape, strict=True)]
            changed += sizes != list(value.shape)
            value.shape = ir.Shape(sizes)
    return changed


def _size(inferred: Size, stated: Size) -> Size:
    named = isinstance(stated, int) or stated.value is not None
    return inferred if isinstance(inferred, int) or not named else stated
