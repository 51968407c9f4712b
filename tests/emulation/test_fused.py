"""Layers on integers are computed with exact sums, and only those that are such layers."""

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from small_modules import torch
from spiq.emulation import Network
from spiq.emulation.fused import FUSED
from spiq.runtime.session import session

RNG = np.random.default_rng(0)
X = """
    q = QuantizeLinear(x, sx, zx)
    d = DequantizeLinear(q, sx, zx)
    w = DequantizeLinear<axis=AXIS>(qw, sw, zw)
    b = DequantizeLinear<axis=0>(qb, sb, zb)
"""


def model(
    layer: str, weight: tuple[int, ...], given: str, *, axis: int = 0, outputs: str = "y"
) -> onnx.ModelProto:
    count = weight[axis]
    fan = int(np.prod(weight)) // count
    scale = RNG.uniform(0.5, 1, count).astype(np.float32) * np.float32(0.01)
    step = np.float32(0.02)
    arrays = {
        "sx": step, "zx": np.uint8(110), "sw": scale, "zw": np.zeros(count, np.int8),
        "qw": RNG.integers(-64, 65, weight, np.int8),  # no CPU saturates sums of two
        "sb": step * scale,
        "zb": np.zeros(count, np.int32), "qb": RNG.integers(-9999, 9999, count, np.int32),
        "sy": np.float32(0.01 * np.sqrt(fan)), "zy": np.uint8(120),
    }  # fmt: skip
    body = X.replace("AXIS", str(axis)) + layer
    made = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": 17]> net ({given} x) => ({outputs}) {{ {body} '
        "p = QuantizeLinear(l, sy, zy) y = DequantizeLinear(p, sy, zy) }"
    )
    for output in made.graph.output:
        output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for name, array in arrays.items():
        made.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return made


def operators(network: Network) -> Counter[str]:
    return Counter(step.operator for step in network._steps)


@pytest.mark.parametrize(
    ("layer", "weight", "given", "axis"),
    [
        ("l = Conv<pads=[1,1,1,1]>(d, w, b)", (8, 4, 3, 3), "float[2,4,9,9]", 0),
        ("l = Conv<group=4>(d, w, b)", (8, 1, 3, 3), "float[2,4,9,9]", 0),
        ("l = Conv(d, w, b)", (4, 512, 3, 3), "float[1,512,5,5]", 0),
        ("l = Gemm<transB=1>(d, w, b)", (8, 40), "float[3,40]", 0),
        ("l = Gemm<transB=1>(d, w)", (8, 4000), "float[3,4000]", 0),
        ("l = MatMul(d, w)", (40, 8), "float[3,40]", 1),
    ],
    ids=["conv", "depthwise", "wide conv", "gemm", "wide gemm", "matmul"],
)
def test_integers_are_those_of_the_runtime(
    layer: str, weight: tuple[int, ...], given: str, axis: int
) -> None:
    proto = model(layer, weight, given, axis=axis)
    network = Network(ir.serde.deserialize_model(proto))
    assert operators(network) == {"QuantizeLinear": 1, FUSED: 1, "DequantizeLinear": 1}
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    x = RNG.standard_normal(shape).astype(np.float32)
    (expected,) = session(proto.SerializeToString()).run(None, {"x": x})
    np.testing.assert_array_equal(network(torch.from_numpy(x)).numpy(), expected)


@pytest.mark.parametrize(
    ("layer", "outputs"),
    [
        ("l = Conv(d, w, b)", "l, y"),
        ("c = Conv(d, w, b) l = Relu(c)", "y"),
        ("l = Conv(x, w, b)", "y"),
    ],
    ids=["also in float", "something between", "float in"],
)
def test_other_layers_are_computed_as_the_graph_says(layer: str, outputs: str) -> None:
    proto = model(layer, (8, 4, 3, 3), "float[2,4,9,9]", outputs=outputs)
    network = Network(ir.serde.deserialize_model(proto))
    assert FUSED not in operators(network)
    x = RNG.standard_normal((2, 4, 9, 9)).astype(np.float32)
    expected = session(proto.SerializeToString()).run(None, {"x": x})
    found = network(torch.from_numpy(x))
    for ours, theirs in zip([found] if outputs == "y" else found, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=0.06)
