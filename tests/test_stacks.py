"""Products by a stack of constant matrices: attention whose keys and values do not change."""

import numpy as np
import onnx
import pytest

from small_networks import build, images_for, run
from spiq import Config, Plan, apply, quantize
from spiq.errors import UnsupportedError
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.runtime.snr import snr_db

FIRST = "[c1] c = Conv<pads=[1,1,1,1]>(x, w1) [r] r = Relu(c) "
LEFT = FIRST + "[m] y = MatMul(turned, r)"
ALONE = "[m] m = MatMul(x, keys) [s] s = Softmax(m) [v] y = MatMul(s, values)"
MASKED = FIRST + (
    "[m] m = MatMul(r, keys) [a] a = Add(m, mask) [s] s = Softmax(a) [v] y = MatMul(s, values)"
)


def stack(*shape: int) -> np.ndarray:
    return (0.3 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def network(body: str) -> onnx.ModelProto:
    keys = stack(4, 8, 8) if body == MASKED else stack(3, 8, 8)
    given = {
        "w1": (4, 3, 3, 3), "keys": keys, "turned": stack(4, 6, 16),
        "values": stack(1, len(keys), 8, 5),
        "mask": np.where(np.tri(16, 8) > 0, 0, -np.inf).astype(np.float32),
    }  # fmt: skip
    used = {name: array for name, array in given.items() if name in body}
    return build(body, inputs="float[1,3,16,8] x", **used)


@pytest.mark.parametrize("body", [LEFT, ALONE, MASKED], ids=["left", "alone", "masked"])
def test_both_operands_are_integers(body: str) -> None:
    model = network(body)
    result = quantize(model)
    assert result.report.quantized_layers == len(result.report.layers)
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 20
    again = apply(model, Plan.from_json(result.plan.to_json()))
    assert again.model == result.model


def test_the_function_stays() -> None:
    model = network(MASKED)
    prepared = prepare(read(model)).model
    assert [node.op_type for node in prepared.graph].count("Identity") == 2
    assert not any(value.is_initializer() for node in prepared.graph if node.op_type == "MatMul"
                   for value in node.inputs if value is not None)  # fmt: skip


def test_products_can_be_excluded_and_need_no_bits() -> None:
    result = quantize(network(MASKED), Config(exclude=("v",), bits_per_weight=5))
    assert [layer.name for layer in result.report.float_layers] == ["v"]
    alone = quantize(network(ALONE), Config(bits_per_weight=5))
    assert alone.report.quantized_layers == 2


def test_without_statistics_nothing_is_left() -> None:
    model = build("[m] y = MatMul(x, keys)", inputs="float[2,16,8] x", keys=stack(2, 8, 6))
    with pytest.raises(UnsupportedError, match="nothing to quantize"):
        quantize(model, Config(bits_per_weight=5))
