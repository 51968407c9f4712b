"""Factors pass ReLUs, and what is left of steps per channel is a convolution on integers."""

import numpy as np
import onnx_ir as ir
import pytest

from small_networks import bn, build, floats, images_for, norm, optimized, run, trained
from spiq import Config, quantize
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.runtime.snr import snr_db

LAYER = "[c] c = Conv<pads=[1,1,1,1]>(x, w) " + bn("c", "n")
LAST = "[o] y = Conv<pads=[1,1,1,1]>(m, wo)"
SHAPES = {"w": (8, 3, 3, 3), "wo": (4, 8, 3, 3)}


def operators(body: str, **constants: np.ndarray) -> list[str]:
    """Those of the prepared network, which computes what the network did."""
    used = {name: shape for name, shape in SHAPES.items() if name in body}
    model = trained(build(body, **used, **norm("n", 8), **constants))
    feed = images_for(model)
    prepared = prepare(read(model)).model
    made = run(ir.serde.serialize_model(prepared), feed)["y"]
    np.testing.assert_allclose(made, run(model, feed)["y"], rtol=1e-4, atol=1e-5)
    return [node.op_type for node in prepared.graph]


PER_CHANNEL = np.linspace(0.2, 3, 8, dtype=np.float32).reshape(8, 1, 1)


@pytest.mark.parametrize("step", ["Mul(s, r)", "Mul(r, s)", "Div(r, s)"])
@pytest.mark.parametrize("factor", [floats(0.3), PER_CHANNEL], ids=["one", "per channel"])
@pytest.mark.parametrize("relu", ["Relu", "LeakyRelu<alpha=0.2>"])
def test_a_factor_passes_a_relu(relu: str, factor: np.ndarray, step: str) -> None:
    found = operators(f"{LAYER}[r] r = {relu}(n) [m] m = {step} {LAST}", s=factor)
    assert found == ["Conv", relu.split("<")[0], "Conv"]


@pytest.mark.parametrize(
    ("middle", "constants"),
    [
        ("[r] r = Relu(n) [m] m = Mul(r, s) ", {"s": -PER_CHANNEL}),
        ("[r] r = Relu(n) [m] m = Div(s, r) ", {"s": floats(2)}),
        ("[r] r = Relu(n) [a] a = Mul(r, s) [b] b = Sigmoid(r) [m] m = Add(a, b) ",
         {"s": PER_CHANNEL}),
        ("[r] r = Relu(x) [t] t = Mul(r, s) " + LAYER.replace("(x", "(t") + "[m] m = Relu(n) ",
         {"s": floats(0.4)}),
    ],
    ids=["negative", "divided by it", "also read as it is", "no layer in front"],
)  # fmt: skip
def test_a_factor_that_does_not(middle: str, constants: dict[str, np.ndarray]) -> None:
    body = middle if "Conv" in middle else LAYER + middle
    assert {"Mul", "Div"} & {*operators(body + LAST, **constants)}


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ("[a] a = Mul(s, r) [m] m = Add(a, b) ", 1),
        ("[a] a = Sub(r, b) [k] k = Mul(a, minus) [m] m = Add(k, s) ", 1),
        ("[h] h = HardSwish(r) [a] a = Mul(h, s) [m] m = Sub(a, b) ", 1),
        ("[a] a = Mul(s, r) [m] m = Sigmoid(a) ", 0),
    ],
    ids=["affine", "three", "behind a gate", "no shift"],
)
def test_steps_become_a_norm(steps: str, count: int) -> None:
    constants = {"s": floats(0.3), "b": PER_CHANNEL, "minus": floats(-1)}
    used = {name: array for name, array in constants.items() if f"{name})" in steps or
            f"({name}," in steps}  # fmt: skip
    found = operators(f"{LAYER}[r] r = Relu(n) {steps}{LAST}", **used)
    assert found.count("BatchNormalization") == count
    assert not count or not {"Add", "Sub"} & {*found}


def test_tokens_and_inputs_are_left_alone() -> None:
    body = "[a] a = Mul(x, s) [m] m = Add(a, b) [o] y = Conv<pads=[1,1,1,1]>(m, w)"
    model = trained(build(body, w=(8, 3, 3, 3), s=floats(0.3), b=floats(0.2)))
    prepared = prepare(read(model)).model
    assert [node.op_type for node in prepared.graph] == ["Mul", "Add", "Conv"]


def test_affine_blocks_run_on_integers() -> None:
    body = (
        f"{LAYER}[r] r = Relu(n) [a] a = Mul(s, r) [m] m = Add(a, b) "
        "[c2] q = Conv<pads=[1,1,1,1]>(m, w2) [r2] p = Relu(q) [a2] k = Mul(p, s) "
        "[b2] l = Add(k, b) [o] y = Conv<pads=[1,1,1,1]>(l, wo)"
    )
    constants = {"s": floats(0.7), "b": floats(-0.2)}
    model = trained(build(body, w2=(8, 8, 3, 3), **SHAPES, **norm("n", 8), **constants))
    result = quantize(model, Config(timing=False))
    found = optimized(result.model)
    assert found["QLinearConv"] == 5 and not found["Add"]
    assert found["QuantizeLinear"] == found["DequantizeLinear"] == 1
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25
