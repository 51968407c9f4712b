"""PRelu and the maximum that stands for it are the same function."""

import numpy as np
import onnx_ir as ir
import pytest

from small_networks import build
from spiq.graph.edit import remove_unused
from spiq.io.read import read
from spiq.rewriting.prelu import prelu_as_max
from spiq.runtime.session import session

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
FACTOR = np.array([0.5, 2.0, 3.0], np.float32).reshape(1, 3, 1, 1)


def rewritten(body: str, **weights: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the operators after, and the outputs before and after."""
    proto = build(body, inputs="float[2,3,4,5] x", **weights)
    model = read(proto)
    prelu_as_max(model.graph)
    remove_unused(model.graph)
    after = ir.to_proto(model)
    outputs = [
        session(entry.SerializeToString()).run(None, {"x": X})[0] for entry in (proto, after)
    ]
    return [node.op_type for node in model.graph], outputs[0], outputs[1]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = PRelu(x, a)", ["Mul", "Max"]),
        ("h = Mul(x, f) y = PRelu(h, a)", ["Mul", "Mul", "Max"]),
        ("h = PRelu(x, a) y = Mul(h, f)", ["Mul", "Mul", "Max"]),
        ("h = Mul(x, f) p = PRelu(h, a) y = Mul(p, f)", ["Mul", "Mul", "Max"]),
        ("h = Mul(x, f) p = PRelu(h, a) y = Add(p, h)", ["Mul", "Mul", "Max", "Add"]),
        ("p = PRelu(x, a) q = Mul(p, f) y = Add(p, q)", ["Mul", "Max", "Mul", "Add"]),
        ("p = PRelu(x, a) y = Mul(p, n)", ["Mul", "Max", "Mul"]),
    ],
)
def test_the_function_stays(body: str, expected: list[str]) -> None:
    slope = np.array([0.25, -0.5, 1.0], np.float32).reshape(3, 1, 1)
    weights = {"a": slope, "f": FACTOR, "n": -FACTOR}
    used = {name: array for name, array in weights.items() if f" {name})" in body}
    found, before, after = rewritten(body, **used)
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-7)
    assert found == expected


def test_a_slope_above_1_is_left_alone() -> None:
    slope = np.array([0.25, 1.5, 1.0], np.float32).reshape(3, 1, 1)
    found, before, after = rewritten("y = PRelu(x, a)", a=slope)
    assert found == ["PRelu"]
    np.testing.assert_array_equal(before, after)
