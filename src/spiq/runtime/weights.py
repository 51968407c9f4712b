"""Weights that the runtime is handed beside the graph.

A network that is opened from memory would be copied into its message and, by the runtime, out of
it again: for 100 MB of weights half a second, and twice the memory. In the message, weights are
said to be in a file here; the runtime is handed arrays in their place and reads no file.
"""

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from spiq.graph.skeleton import swapped
from spiq.io.write import message
from spiq.runtime.opened import Tensors
from spiq.runtime.session import session

_SMALL = 1024
"""Bytes up to which a weight stays in the message: it may hold a shape, axes or sizes."""

_PLAIN = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.INT8, onnx.TensorProto.UINT8})
"""Types of weights that the runtime is handed as arrays."""

_NOWHERE = "weights"
"""The file that is named; there is none."""


def apart(model: ir.Model) -> tuple[onnx.ModelProto, dict[str, ir.TensorProtocol]]:
    """Return the message of a network without its large weights, and these, by name.

    Args:
        model: The network. It is left as it is.
    """
    large = {
        value: tensor
        for value in model.graph.initializers.values()
        if (tensor := value.const_value) is not None
        and tensor.dtype.value in _PLAIN
        and tensor.nbytes > _SMALL
    }
    with swapped({value: _named(value, tensor) for value, tensor in large.items()}):
        proto = message(model)
    return proto, {str(value.name): tensor for value, tensor in large.items()}


def taken(proto: onnx.ModelProto) -> Tensors:
    """Take the large weights out of a message, in place; return them, by name."""
    arrays: Tensors = {}
    for tensor in proto.graph.initializer:
        content = tensor.raw_data
        if tensor.data_type in _PLAIN and len(content) > _SMALL:
            kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            arrays[tensor.name] = np.frombuffer(content, kind).reshape(tensor.dims)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=_NOWHERE)
    return arrays


def opened_with(
    proto: onnx.ModelProto, weights: Mapping[str, ir.TensorProtocol]
) -> ort.InferenceSession:
    """Open a network, or a part of it, of which :func:`apart` took the weights.

    Raises:
        ModelError: The runtime refuses it.
    """
    read = {tensor.name for tensor in proto.graph.initializer}
    arrays = {
        name: np.ascontiguousarray(tensor.numpy())
        for name, tensor in weights.items()
        if name in read
    }
    return session(proto.SerializeToString(), weights=arrays)


def _named(value: ir.Value, tensor: ir.TensorProtocol) -> ir.ExternalTensor:
    """Return what stands for a weight in the message."""
    shape, name = ir.Shape(tensor.shape.numpy()), str(value.name)
    return ir.ExternalTensor(_NOWHERE, 0, tensor.nbytes, tensor.dtype, shape=shape, name=name)
