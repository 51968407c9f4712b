"""A model without its weights, for what needs the graph only.

ONNX's shape inference and version converter take a serialized model. A skeleton serializes in
microseconds and has the same answer: large initializers are inputs of their shape and type.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import onnx
import onnx_ir as ir

_SMALL = 1024
"""Bytes up to which an initializer stays: it may hold a shape, axes or sizes."""

PLAIN_CONSTANTS = 4
"""The first IR version in which an initializer need not be a graph input."""


@contextmanager
def swapped(tensors: Mapping[ir.Value, ir.TensorProtocol]) -> Iterator[None]:
    """Give values other constants for a while."""
    kept = {value: value.const_value for value in tensors}
    try:
        for value, tensor in tensors.items():
            value.const_value = tensor
        yield
    finally:
        for value, original in kept.items():
            value.const_value = original


def skeleton(model: ir.Model) -> onnx.ModelProto:
    """Serialize a model whose large initializers are graph inputs.

    Args:
        model: Any model whose initializers are no inputs. It is left as it is.
    """
    moved = {
        value: ir.Tensor(np.empty(0, np.float32), name=value.name)
        for value in model.graph.initializers.values()
        if (tensor := value.const_value) is not None
        and tensor.nbytes > _SMALL
        and tensor.dtype != ir.DataType.STRING
    }
    infos = [
        onnx.helper.make_tensor_value_info(
            str(value.name), tensor.dtype.value, list(tensor.shape.numpy())
        )
        for value in moved
        if (tensor := value.const_value) is not None
    ]
    with swapped(moved):
        proto = ir.serde.serialize_model(model)
    proto.ir_version = max(proto.ir_version, PLAIN_CONSTANTS)
    names = {info.name for info in infos}
    for field in (proto.graph.initializer, proto.graph.value_info):
        kept = [entry for entry in field if entry.name not in names]
        del field[:]
        field.extend(kept)
    proto.graph.input.extend(infos)
    return proto


def attach(model: ir.Model, weights: ir.Model) -> None:
    """Make initializers of a deserialized skeleton's inputs again, those of ``weights``, in place.

    What the skeleton kept stays as it is there.
    """
    graph = model.graph
    for value in list(graph.inputs):
        given = weights.graph.initializers.get(str(value.name))
        if given is not None:
            value.const_value = given.const_value
            graph.initializers.add(value)
    constants_are_no_inputs(model)


def constants_are_no_inputs(model: ir.Model) -> None:
    """Take initializers out of the graph inputs, where IR version 3 lists them, in place."""
    graph = model.graph
    inputs = [value for value in graph.inputs if value.name not in graph.initializers]
    if len(inputs) < len(graph.inputs):
        graph.inputs.clear()
        graph.inputs.extend(inputs)
