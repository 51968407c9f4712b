"""Affine steps in float that become a product and a sum: the same numbers, read less often."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import build, changed, images_for, run
from spiq.emit.affines import collect_affines

RNG = np.random.default_rng(0)
ROW = {"s": (1, 8, 1, 1), "r": (8, 1, 1), "t": (1, 8, 1, 1), "rows": (1, 1, 16, 1)}
ALL = {name: RNG.uniform(0.5, 2, shape).astype(np.float32) for name, shape in ROW.items()}
ALL |= {"half": np.array(0.5, np.float32)}
ALL |= {name: RNG.uniform(0.5, 2, 8).astype(np.float32) for name in ("g", "b", "m", "v")}

NORM = "[l] l = ReduceL2<axes=[2, 3]>(x) [e] e = ReduceMean<axes=[1]>(l) [n] n = Div(l, e) "
RESPONSE = NORM + (
    "[p] p = Mul(x, n) [q] q = BatchNormalization(p, g, b, m, v) [z] z = Add(x, q) "
    "[y] y = Mul(z, t)"
)


def collected(body: str, outputs: str = "y") -> tuple[onnx.ModelProto, onnx.ModelProto, list[str]]:
    used = {name: array for name, array in ALL.items() if f", {name}" in body}
    model = build(body, inputs="float[N,8,16,16] x", outputs=outputs, **used)
    after = changed(model, collect_affines)
    large = [
        node.op_type for node in after.graph if list(node.outputs[0].shape or [])[2:] == [16, 16]
    ]
    return model, ir.serde.serialize_model(after), large


@pytest.mark.parametrize(
    ("body", "large"),
    [
        pytest.param(RESPONSE, ["Mul", "Add"], id="response normalization"),
        pytest.param("[a] a = Mul(x, s) [c] c = Mul(a, r) [y] y = Mul(c, t)", ["Mul"],
                     id="factors"),
        pytest.param("[a] a = Mul(x, s) [c] c = Add(a, r) [y] y = Mul(c, t)", ["Mul", "Add"],
                     id="a shift between"),
        pytest.param("[a] a = Add(x, s) [y] y = Add(a, t)", ["Add"], id="shifts"),
        pytest.param("[p] p = GlobalAveragePool(x) [a] a = Mul(p, x) [y] y = Mul(a, t)", ["Mul"],
                     id="a gate"),
        pytest.param("[a] a = Mul(x, s) [c] c = Mul(x, t) [y] y = Add(a, c)", ["Mul"], id="twice"),
        pytest.param("[a] a = Mul(x, rows) [y] y = Mul(a, t)", ["Mul"], id="two axes"),
        pytest.param("[a] a = Mul(x, half) [y] y = Mul(a, t)", ["Mul", "Mul"], id="number"),
        pytest.param("[c] c = Tanh(x) [a] a = Mul(x, c) [y] y = Mul(a, t)", ["Tanh", "Mul", "Mul"],
                     id="a large factor"),
        pytest.param("[a] a = Mul(x, s) [c] c = Tanh(a) [d] d = Add(a, c) [y] y = Mul(d, t)",
                     ["Mul", "Tanh", "Add", "Mul"], id="read by others"),
    ],
)  # fmt: skip
def test_affine_steps_become_two(body: str, large: list[str]) -> None:
    before, after, left = collected(body)
    assert left == large
    feed = images_for(before, 2)
    np.testing.assert_allclose(run(after, feed)["y"], run(before, feed)["y"], rtol=1e-5, atol=1e-5)


def test_what_is_told_stays() -> None:
    _, after, large = collected("[a] a = Mul(x, s) [y] y = Mul(a, t)", outputs="y, a")
    assert large == ["Mul", "Mul"]
    assert [output.name for output in after.graph.output] == ["y", "a"]


def test_hundreds_of_steps_in_a_row() -> None:
    """Each was a call within the call for the next one, and more of them than Python takes."""
    steps = " ".join(f"[n{k}] s{k + 1} = Add(s{k}, s)" for k in range(400))
    model = build(
        f"[c] s0 = Relu(x) {steps} y = Neg(s400)", inputs="float[1,8,16,16] x", s=ALL["s"]
    )
    made = changed(model, collect_affines)
    assert len(made.graph) < 20
    feed = images_for(model)
    found = run(ir.serde.serialize_model(made), feed)["y"]
    np.testing.assert_allclose(found, run(model, feed)["y"], rtol=1e-3)
