"""A model without its weights, for what needs the graph only.

ONNX's shape inference and version converter take a serialized model. A skeleton serializes in
microseconds and has the same answer: large initializers have their shape and type but no numbers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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


def shells(model: ir.Model) -> onnx.ModelProto:
    """Serialize a model whose large initializers have no numbers.

    Args:
        model: Any model, also one that is not sorted. It is left as it is.
    """
    with swapped(_shells(model)):
        return ir.serde.serialize_model(model)


def skeleton(model: ir.Model) -> onnx.ModelProto:
    """Serialize a model whose large initializers are graph inputs.

    Args:
        model: Any model. It is left as it is.
    """
    names = {value.name for value in _shells(model)}
    proto = shells(model)
    proto.ir_version = max(proto.ir_version, PLAIN_CONSTANTS)
    graph = proto.graph
    moved = [tensor for tensor in graph.initializer if tensor.name in names]
    kept = [tensor for tensor in graph.initializer if tensor.name not in names]
    infos = [info for info in graph.value_info if info.name not in names]
    listed = {info.name for info in graph.input}
    for tensor in moved:
        if tensor.name not in listed:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
    graph.value_info.extend(infos)
    return proto


def attach(model: ir.Model, tensors: Mapping[str, ir.TensorProtocol]) -> None:
    """Give a deserialized skeleton its weights back, in place."""
    graph = model.graph
    values = {value.name: value for value in (*graph.inputs, *graph.initializers.values())}
    for name, tensor in tensors.items():
        value = values.get(name)
        if value is None:
            continue
        value.const_value = tensor
        if name not in graph.initializers:
            graph.initializers.add(value)
    constants_are_no_inputs(model)


def constants_are_no_inputs(model: ir.Model) -> None:
    """Take initializers out of the graph inputs, where IR version 3 lists them, in place."""
    graph = model.graph
    inputs = [value for value in graph.inputs if value.name not in graph.initializers]
    if len(inputs) < len(graph.inputs):
        graph.inputs.clear()
        graph.inputs.extend(inputs)


def _shells(model: ir.Model) -> dict[ir.Value, ir.TensorProtocol]:
    return {
        value: ir.serde.TensorProtoTensor(
            onnx.TensorProto(
                name=value.name, data_type=tensor.dtype.value, dims=tensor.shape.numpy()
            )
        )
        for value in model.graph.initializers.values()
        if (tensor := value.const_value) is not None
        and (tensor.nbytes > _SMALL or isinstance(tensor, ir.ExternalTensor))
        and tensor.dtype != ir.DataType.STRING
    }
