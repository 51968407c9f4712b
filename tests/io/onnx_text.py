"""Small networks as ONNX text, and how a refusal is asserted."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from spiq.errors import ModelError
from spiq.io.read import read

WEIGHT = np.arange(16 * 3 * 3 * 3, dtype=np.float32).reshape(16, 3, 3, 3) / 100
SHUFFLED = "b = Relu(a) a = Neg(x) y = Abs(b)"


def text(body: str, *, opset: int = 17, more: str = "", weights: str = "") -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}{more}]> '
        f"net (float[N,3,8,8] x) => (y) {weights} {{ {body} }}"
    )


def network(weight: np.ndarray = WEIGHT, **tensors: np.ndarray) -> onnx.ModelProto:
    """A convolution, a normalization and a ReLU with weights of more than 1 KB."""
    values = {name: np.ones(16, np.float32) for name in ("scale", "bias", "mean", "var")}
    model = text(
        "[conv] c = Conv(x, weight) "
        "[norm] n = BatchNormalization(c, scale, bias, mean, var) [relu] y = Relu(n)"
    )
    for name, array in {"weight": weight, **values, **tensors}.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def refused(source: object, error: type[ModelError], *words: str) -> str:
    with pytest.raises(error) as caught:
        read(source)  # type: ignore[arg-type]
    message = str(caught.value)
    assert type(caught.value) is error
    assert "\n" not in message
    assert len(message.split(": ")) > 1, f"does not say what to do: {message}"
    for word in words:
        assert word in message
    return message


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def constant(model: ir.Model, name: str) -> np.ndarray:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def serialized(model: ir.Model) -> bytes:
    return ir.serde.serialize_model(model).SerializeToString(deterministic=True)
