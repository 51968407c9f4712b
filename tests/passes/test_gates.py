"""Hard gates in any spelling run on integers, and are as accurate as float."""

from collections.abc import Mapping

import numpy as np
import onnx
import pytest

from small_networks import bn, build, floats, images_for, norm, optimized, run, trained
from spiq import quantize
from spiq.io.read import read
from spiq.passes.gates import plain_gates
from spiq.passes.prepare import prepare
from spiq.passes.soft_gates import plain_soft_gates
from spiq.runtime.snr import snr_db

HINGE = "[a] a = Add(n1, three) [h] h = Clip(a, zero, six) "
NUMBERS = {"three": floats(3), "zero": np.float32(0), "six": np.float32(6), "sixth": floats(1 / 6)}

GATED = {
    "HardSwish": "[s] s = HardSwish(n1) ",
    "HardSigmoid": "[g] g = HardSigmoid<alpha=0.16666667>(n1) [s] s = Mul(n1, g) ",
    "gate, then product": HINGE + "[g] g = Div(h, six) [s] s = Mul(n1, g) ",
    "product by a sixth": HINGE + "[g] g = Mul(sixth, h) [s] s = Mul(g, n1) ",
    "product, then gate": HINGE + "[g] g = Mul(n1, h) [s] s = Div(g, six) ",
    "as Min and Max": "[a] a = Add(three, n1) [l] l = Max(a, zero) [h] h = Min(l, six) "
    "[g] g = Mul(h, n1) [s] s = Mul(g, sixth) ",
    "a gate alone": HINGE + "[s] s = Div(h, six) ",
}


def between_layers(gate: str, numbers: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Return two convolutions, and between them what makes ``s`` of ``n1``."""
    body = (
        "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + gate
        + "[c2] y = Conv<pads=[1,1,1,1]>(s, w2)"
    )  # fmt: skip
    used = {key: value for key, value in numbers.items() if key in gate}
    return trained(build(body, w1=(8, 3, 3, 3), w2=(8, 8, 3, 3), **used, **norm("n1", 8)))


@pytest.mark.parametrize("name", GATED)
def test_hard_gates_run_on_integers(name: str) -> None:
    model = between_layers(GATED[name], NUMBERS)
    result = quantize(model)
    found = optimized(result.model)
    assert found["QLinearConv"] + found["QLinearAdd"] == 3  # a gate is a sum or a convolution
    assert found["QLinearMul"] == (0 if name == "a gate alone" else 1)
    assert found["QuantizeLinear"] == found["DequantizeLinear"] == 1
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("[a] a = Add(x, three) [h] h = Clip(a, zero, six) [y] y = Div(h, three)", "y"),
        ("[a] a = Add(x, three) [h] h = Clip(a, three, six) [y] y = Div(h, six)", "y"),
        ("[a] a = Add(x, three) [h] h = Clip(a, zero, six) [y] y = Div(six, h)", "y"),
        ("[a] a = Add(x, three) [h] h = Clip(a, zero, six) [y] y = Div(h, six)", "y, h"),
        ("[a] a = Mul(x, three) [h] h = Clip(a, zero, six) [y] y = Div(h, six)", "y"),
        (
            "[r] r = Relu(x) [a] a = Add(x, three) [h] h = Clip(a, zero, six) "
            "[m] m = Mul(r, h) [y] y = Div(m, six)",
            "y",
        ),
    ],
)
def test_what_is_no_hard_gate(body: str, outputs: str) -> None:
    used = {key: value for key, value in NUMBERS.items() if key in body}
    used = {key: np.float32(value.reshape(())) for key, value in used.items()}
    model = read(build(body, outputs=outputs, **used))
    assert plain_gates(model) == 0


SOFT = {
    "Softplus": "[e] e = Exp(n1) [a] a = Add(one, e) [s] s = Log(a) ",
    "Sigmoid": "[m] m = Neg(n1) [e] e = Exp(m) [a] a = Add(e, one) [s] s = Div(one, a) ",
    "Sigmoid, inverted": "[m] m = Mul(minus, n1) [e] e = Exp(m) [a] a = Add(e, one) "
    "[s] s = Reciprocal(a) ",
    "Sigmoid times x": "[m] m = Neg(n1) [e] e = Exp(m) [a] a = Add(e, one) [s] s = Div(n1, a) ",
}


@pytest.mark.parametrize("name", SOFT)
def test_what_is_made_of_one_and_an_exponential(name: str) -> None:
    """A Softplus that was spelt so had 24 dB: what an Exp made was observed, and its tails."""
    model = between_layers(SOFT[name], {"one": floats(1), "minus": floats(-1)})
    found = [node.op_type for node in prepare(read(model)).model.graph]
    assert name.split()[0].strip(",") in found and "Exp" not in found
    feed = images_for(model)
    result = quantize(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


@pytest.mark.parametrize(
    "body",
    ["e = Exp(x) a = Add(e, two) y = Log(a)", "e = Exp(x) a = Add(e, one) y = Div(one, a)"],
    ids=["another number", "not of -x"],
)
def test_no_soft_gate(body: str) -> None:
    used = {"two": floats(2)} if "two" in body else {"one": floats(1)}
    model = read(build(body, **used))
    assert plain_soft_gates(model) == 0
