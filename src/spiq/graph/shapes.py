"""Shapes and types of all values, by ONNX's own inference on a model without its weights."""

import logging

import onnx
import onnx_ir as ir

from spiq.graph.skeleton import skeleton

Size = int | ir.SymbolicDim

_log = logging.getLogger(__name__)


def infer(model: ir.Model) -> None:
    """Give the values of the main graph their shape and type where they can be inferred, in place.

    A shape that cannot be inferred stays as it is: whoever needs it says so.

    Args:
        model: A valid, sorted model.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        _log.info("shapes are not inferred: %s", error)
        return
    assign(model, inferred)


def assign(model: ir.Model, inferred: onnx.ModelProto) -> None:
    """Give the values of the main graph the shapes and types of an inferred model, in place.

    What the model states of a size counts only where nothing is inferred.
    """
    values = {value.name: value for node in model.graph for value in node.outputs}
    for info in (*inferred.graph.value_info, *inferred.graph.output):
        value = values.get(info.name)
        if value is None:
            continue
        shape = ir.serde.deserialize_type_proto_for_shape(info.type)
        kind = ir.serde.deserialize_type_proto_for_type(info.type)
        if shape is not None:
            value.shape = _with_stated(shape, value.shape)
        if kind is not None:
            value.type = kind


def _with_stated(inferred: ir.Shape, stated: ir.Shape | None) -> ir.Shape:
    """Return an inferred shape, in which what is stated stands for what is not known."""
    if stated is None or len(stated) != len(inferred):
        return inferred
    return ir.Shape([_size(*pair) for pair in zip(inferred, stated, strict=True)])


def _size(inferred: Size, stated: Size) -> Size:
    named = isinstance(stated, int) or stated.value is not None
    return inferred if isinstance(inferred, int) or not named else stated
