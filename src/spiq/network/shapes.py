"""Shapes and types of all values, by ONNX's own inference on a model without its weights."""

import logging

import onnx
import onnx_ir as ir

from spiq.network.skeleton import skeleton

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
