"""An Expand goes where the operator behind it broadcasts, and stays where it does not."""

import numpy as np
import onnx_ir as ir
import pytest

from small_networks import build, images_for, run, trained, whole
from spiq.io.read import read
from spiq.passes.prepare import prepare

STEM = "[c] c = Conv<pads=[1,1,1,1]>(x, w) [g] g = GlobalAveragePool(c) [s] s = Sigmoid(g) "


def operators(body: str, **constants: object) -> list[str]:
    """Those of the prepared network, which computes what the network did."""
    model = trained(build(STEM + body, inputs="float[N,3,16,16] x", w=(8, 3, 3, 3), **constants))
    prepared = prepare(read(model)).model
    feed = images_for(model)
    made = ir.serde.serialize_model(prepared)
    np.testing.assert_allclose(run(made, feed)["y"], run(model, feed)["y"], rtol=1e-5, atol=1e-6)
    return [node.op_type for node in prepared.graph]


@pytest.mark.parametrize("operator", ["Mul(e, c)", "Add(c, e)", "Max(c, e)"])
def test_expanded_to_the_other_operand(operator: str) -> None:
    body = f"[h] h = Shape(c) [e] e = Expand(s, h) [m] y = {operator}"
    assert "Expand" not in operators(body)


def test_expanded_to_known_sizes() -> None:
    body = "[e] e = Expand(s, to) [m] y = Mul(c, e)"
    assert "Expand" not in operators(body, to=whole(1, 8, 16, 16))


@pytest.mark.parametrize(
    "body",
    [
        "[h] h = Shape(c) [e] e = Expand(s, h) [m] y = Mul(e, e)",
        "[e] e = Expand(s, to) [m] y = Mul(g, e)",
        "[h] h = Shape(c) [e] e = Expand(s, h) [m] y = Relu(e)",
    ],
    ids=["beside itself", "beside a smaller one", "alone"],
)
def test_what_is_needed_stays(body: str) -> None:
    used = {"to": whole(1, 8, 16, 16)} if "to)" in body else {}
    assert "Expand" in operators(body, **used)
