"""A BatchNormalization spelt out of its named buffers is one again, with its statistics."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare

RNG = np.random.default_rng(0)
CONV = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
NORM = {
    "weight": RNG.uniform(-1.5, 1.5, 4).astype(np.float32),
    "bias": RNG.standard_normal(4).astype(np.float32),
    "running_mean": RNG.standard_normal(4).astype(np.float32),
    "running_var": np.float32([1e-6, 0.5, 2, 30]),
}

BODY = """
    shape = Constant<value_ints=[1, -1, 1, 1]>()
    eps = Constant<value_float=0.001>()
    c = Conv(x, w)
    gamma = Reshape(WEIGHT, shape)
    beta = Reshape(BIAS, shape)
    var = Reshape(VAR, shape)
    mean = Reshape(MEAN, shape)
    shifted = Add(var, eps)
    root = Sqrt(shifted)
    one = Reciprocal(root)
    scale = Mul(gamma, one)
    moved = Mul(mean, scale)
    shift = Sub(beta, moved)
    scaled = Mul(ORDER)
    y = Add(SUM)
"""


def prepared(
    order: str = "c, scale", total: str = "scaled, shift", prefix: str = "bn."
) -> Prepared:
    body = BODY.replace("ORDER", order).replace("SUM", total)
    for name, full in (("WEIGHT", "weight"), ("BIAS", "bias"), ("VAR", "running_var"),
                       ("MEAN", "running_mean")):  # fmt: skip
        body = body.replace(name, f'"{prefix}{full}"')
    model = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": 20]> net (float[N,3,8,8] x) => (y) {{ {body} }}'
    )
    for name, array in {"w": CONV, **{prefix + k: v for k, v in NORM.items()}}.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return prepare(read(model))


@pytest.mark.parametrize("order", ["c, scale", "scale, c"])
@pytest.mark.parametrize("total", ["scaled, shift", "shift, scaled"])
def test_it_states_its_moments_and_folds(order: str, total: str) -> None:
    result = prepared(order, total)
    assert [node.op_type for node in result.model.graph] == ["Conv"]
    var = NORM["running_var"].astype(np.float64)
    stated = result.stated["y"]
    np.testing.assert_allclose(stated.mean, NORM["bias"], rtol=1e-6)
    wanted = NORM["weight"].astype(np.float64) ** 2 * var / (var + 1e-3)
    np.testing.assert_allclose(stated.var, wanted, rtol=2e-3)


def test_other_numbers_under_these_names_are_a_plain_step() -> None:
    result = prepared(order="c, gamma")
    assert not result.stated


def test_other_names_are_a_plain_step() -> None:
    assert not prepared(prefix="bn_").stated
