"""What a layer in float writes is folded by its weights, and stored beside what integers write."""

import onnx
import pytest

from small_networks import bn, build, images_for, norm, optimized, run, trained
from spiq import quantize
from spiq.runtime.snr import snr_db


def decoder(activation: str, group: int = 1) -> onnx.ModelProto:
    body = (
        "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r1] r1 = Relu(n1) "
        "[c2] c2 = Conv<pads=[1,1,1,1], strides=[2,2]>(r1, w2) " + bn("c2", "n2")
        + "[r2] r2 = Relu(n2) "
        f"[up] t = ConvTranspose<strides=[2,2], group={group}>(r2, wt) " + bn("t", "n3")
        + f"[r3] r3 = {activation} [j] j = Concat<axis=1>(r3, r1) "
        "[c4] y = Conv<pads=[1,1,1,1]>(j, w4)"
    )  # fmt: skip
    model = build(
        body, w1=(8, 3, 3, 3), w2=(8, 8, 3, 3), wt=(8, 6 // group, 2, 2), w4=(4, 14, 3, 3),
        **norm("n1", 8, spread=30), **norm("n2", 8, spread=30), **norm("n3", 6, spread=30),
    )  # fmt: skip
    return trained(model)


@pytest.mark.parametrize("group", [1, 2])
def test_a_decoder_joins_on_integers(group: int) -> None:
    model = decoder("Relu(n3)", group)
    result = quantize(model)
    found = optimized(result.model)
    assert found["QLinearConcat"] == 1 and found["Concat"] == 0
    assert found["ConvTranspose"] == 1 and found["QLinearConv"] == 3
    assert found["Relu"] == 0 and found["Mul"] <= 2
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


def test_an_activation_that_is_no_multiple_keeps_its_factor() -> None:
    model = decoder("Tanh(n3)")
    result = quantize(model)
    assert optimized(result.model)["QLinearConcat"] == 1
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


def test_a_concat_of_float_tensors_alone_stays_in_float() -> None:
    body = (
        "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[a] a = Tanh(n1) "
        "[b] b = Sin(n1) [j] j = Concat<axis=1>(a, b) [c2] y = Conv(j, w2)"
    )
    model = build(body, w1=(8, 3, 3, 3), w2=(4, 16, 1, 1), **norm("n1", 8))
    found = optimized(quantize(trained(model)).model)
    assert found["Concat"] == 1 and found["QLinearConv"] == 2
    assert found["QuantizeLinear"] == 2
