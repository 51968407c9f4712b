"""Factors around products in float: the same numbers, multiplied once."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import spiq
from small_networks import build, changed, images_for, run
from spiq.emit.merged import merge_factors

RNG = np.random.default_rng(0)
ALL = {
    "s": RNG.uniform(0.5, 2, (1, 8, 1, 1)).astype(np.float32),
    "r": RNG.uniform(0.5, 2, (8, 1, 1)).astype(np.float32),
    "t": RNG.uniform(0.5, 2, (1, 8, 1, 1)).astype(np.float32),
    "rows": RNG.uniform(0.5, 2, (1, 1, 16, 1)).astype(np.float32),
    "half": np.array(0.5, np.float32),
}


def merged(body: str, outputs: str = "y") -> tuple[onnx.ModelProto, onnx.ModelProto, list[str]]:
    used = {name: array for name, array in ALL.items() if f", {name})" in body}
    model = build(body, inputs="float[N,8,16,16] x", outputs=outputs, **used)
    after = changed(model, merge_factors)
    return model, ir.serde.serialize_model(after), [node.op_type for node in after.graph]


@pytest.mark.parametrize(
    ("body", "left"),
    [
        pytest.param("b = Tanh(x) a = Mul(x, s) p = Mul(a, b) y = Mul(p, t)", 2, id="one"),
        pytest.param("c = Tanh(x) a = Mul(x, s) b = Mul(c, r) p = Mul(a, b) y = Mul(p, t)", 2,
                     id="both"),
        pytest.param("g = GlobalAveragePool(x) a = Mul(g, s) p = Mul(a, x) y = Mul(p, t)", 2,
                     id="a gate of one number per channel"),
        pytest.param("b = Tanh(x) a = Mul(x, half) p = Mul(a, b) y = Mul(p, t)", 3, id="number"),
        pytest.param("b = Tanh(x) a = Mul(x, rows) p = Mul(a, b) y = Mul(p, t)", 3, id="larger"),
        pytest.param("a = Mul(x, s) b = Tanh(a) p = Mul(a, b) y = Mul(p, t)", 3, id="read twice"),
        pytest.param("b = Tanh(x) a = Mul(x, s) p = Mul(a, b) q = Abs(p) y = Mul(q, t)", 3,
                     id="not beside"),
    ],
)  # fmt: skip
def test_factors_become_one(body: str, left: int) -> None:
    before, after, operators = merged(body)
    assert operators.count("Mul") == left
    feed = images_for(before, 2)
    np.testing.assert_allclose(run(after, feed)["y"], run(before, feed)["y"], rtol=1e-5, atol=1e-6)


def test_what_is_told_stays() -> None:
    _, after, operators = merged(
        "b = Tanh(x) a = Mul(x, s) p = Mul(a, b) y = Mul(p, t)", outputs="y, p"
    )
    assert operators.count("Mul") == 3
    assert [output.name for output in after.graph.output] == ["y", "p"]


def test_a_quantized_network_has_one_factor_less() -> None:
    """The gate's own factors, and those of the grids in front of it and behind it."""
    weights = {"w": (16, 3, 3, 3), "v": (16, 16, 3, 3)}
    factors = {"s": (1, 16, 1, 1), "t": (1, 16, 1, 1)}
    rng = np.random.default_rng(0)
    constants = {
        name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in weights.items()
    } | {name: rng.uniform(0.2, 5, shape).astype(np.float32) for name, shape in factors.items()}
    model = build(
        "c = Conv<pads=[1, 1, 1, 1]>(x, w) a = Mul(c, s) b = Tanh(c) p = Mul(a, b) z = Mul(p, t) "
        "y = Conv<pads=[1, 1, 1, 1]>(z, v)",
        inputs="float[N,3,32,32] x", **constants,
    )  # fmt: skip
    made = spiq.quantize(model, spiq.Config(timing=False, input_range=((0, 1),)))
    nodes = onnx.load_from_string(made.network).graph.node
    assert [node.op_type for node in nodes].count("Mul") == 3
    assert made.report.snr_db["y"] > 25
