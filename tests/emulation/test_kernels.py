"""Sums, products and pools of integers are those that the runtime's kernels store."""

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from small_modules import torch
from spiq.emulation import Network
from spiq.runtime.session import session

SHAPE = (2, 6, 9, 33)
STEP = np.float32(0.05)


def model(
    operator: str, *, zero: int, other: tuple[int, ...] = (), step: np.float32 = STEP
) -> onnx.ModelProto:
    """``operator`` of two stored tensors, `other` the shape of the second, or of one."""
    arrays = {
        "sx": STEP, "zx": np.uint8(110), "so": np.float32(STEP * 1.5), "zo": np.uint8(7),
        "sy": np.float32(step), "zy": np.uint8(zero),
    }  # fmt: skip
    second = "" if not other else ", float[" + ",".join(map(str, other)) + "] o"
    body = "q = QuantizeLinear(x, sx, zx) a = DequantizeLinear(q, sx, zx) "
    if other:
        body += "r = QuantizeLinear(o, so, zo) b = DequantizeLinear(r, so, zo) "
    made = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": 17]> net (float[{",".join(map(str, SHAPE))}] x'
        f"{second}) => (float[n,c,h,w] y) {{ {body} l = {operator} p = QuantizeLinear(l, sy, zy) "
        "y = DequantizeLinear(p, sy, zy) }"
    )
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    made.graph.initializer.extend(held)
    return made


def compared(proto: onnx.ModelProto, other: tuple[int, ...] = ()) -> Counter[str]:
    """The operators that are computed, after a look at what comes of them."""
    rng = np.random.default_rng(1)
    inputs = {"x": rng.normal(0, 2, SHAPE).astype(np.float32)}
    if other:
        inputs["o"] = rng.normal(4, 4, other).astype(np.float32)
    network = Network(ir.serde.deserialize_model(proto))
    (expected,) = session(proto.SerializeToString()).run(None, inputs)
    found = network(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    np.testing.assert_array_equal(found.numpy(), expected)
    return Counter(step.operator for step in network._steps)


@pytest.mark.parametrize("zero", [120, 121])
@pytest.mark.parametrize("other", [SHAPE, (6, 1, 1), (2, 6, 1, 1), (33,), (1,)], ids=str)
@pytest.mark.parametrize("operator", ["Add(a, b)", "Add(b, a)", "Mul(a, b)"])
def test_sums_and_products(operator: str, other: tuple[int, ...], zero: int) -> None:
    step = np.float32(0.1 if operator.startswith("Add") else 0.4)
    done = compared(model(operator, zero=zero, other=other, step=step), other)
    assert done[f"spiq.Integer{operator[:3]}"] == 1


@pytest.mark.parametrize("operator", ["Add(a, b)", "Add(b, a)"])
@pytest.mark.parametrize("other", [(2, 6, 1, 1), (1,), SHAPE], ids=str)
def test_halves_that_the_last_bits_decide(operator: str, other: tuple[int, ...]) -> None:
    proto = model(operator, zero=0, other=other, step=np.float32(0.7 / 255))
    changed = {"sx": 0.0210037, "zx": 128, "so": 0.7 / 254, "zo": 0}
    for held in proto.graph.initializer:
        if held.name in changed:
            old = numpy_helper.to_array(held)
            held.CopyFrom(
                numpy_helper.from_array(np.asarray(changed[held.name], old.dtype), held.name)
            )
    compared(proto, other)


@pytest.mark.parametrize("zero", [120, 121])
@pytest.mark.parametrize(
    "window",
    [
        "kernel_shape=[2,2], strides=[2,2]",
        "kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]",
        "kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1",
    ],
)
def test_pools(window: str, zero: int) -> None:
    done = compared(model(f"AveragePool<{window}>(a)", zero=zero))
    assert done["spiq.IntegerAveragePool"] == 1


def test_a_sum_that_is_also_read_in_float_is_computed_as_the_graph_says() -> None:
    proto = model("Add(a, b)", zero=3, other=SHAPE)
    proto.graph.output.append(onnx.helper.make_tensor_value_info("l", 1, SHAPE))
    network = Network(ir.serde.deserialize_model(proto))
    assert "Add" in {step.operator for step in network._steps}


def test_batchnorm_in_float_is_the_runtimes_to_the_last_bit() -> None:
    made = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 17]> net (float[2,6,9,33] x) => (float[n,c,h,w] y) '
        "{ y = BatchNormalization(x, gamma, beta, mean, var) }"
    )
    rng = np.random.default_rng(0)
    for name in ("gamma", "beta", "mean", "var"):
        array = rng.uniform(0.5, 2, 6).astype(np.float32)
        made.graph.initializer.append(numpy_helper.from_array(array, name))
    compared(made)
