"""Numbers in front of products move behind them."""

import numpy as np
import pytest

from small_networks import build, floats, run
from spiq.io.read import read
from spiq.io.write import serialize
from spiq.passes.products import scale_products


@pytest.mark.parametrize(
    ("body", "operators"),
    [
        ("q = Mul(x, s) t = Transpose<perm=[0,2,1]>(x) y1 = MatMul(q, t)", "Transpose MatMul Mul"),
        ("q = Div(x, s) t = Transpose<perm=[0,2,1]>(x) y1 = MatMul(q, t)", "Transpose MatMul Mul"),
        ("q = Mul(s, x) k = Mul(x, s) t = Transpose<perm=[0,2,1]>(k) y1 = MatMul(q, t)",
         "Transpose MatMul Mul"),
        ("q = Mul(x, row) t = Transpose<perm=[0,2,1]>(x) y1 = MatMul(q, t)",
         "Mul Transpose MatMul"),
        ("q = Mul(x, s) t = Transpose<perm=[0,2,1]>(q) y1 = MatMul(q, t)",
         "Mul Transpose MatMul"),
    ],
)  # fmt: skip
def test_a_number_moves_behind_the_product(body: str, operators: str) -> None:
    known = {"s": floats(0.25), "row": floats(1, 2, 3, 4)}
    used = {
        name: value for name, value in known.items() if f" {name})" in body or f"({name}," in body
    }
    proto = build(f"{body} y = Relu(y1)", inputs="float[2,3,4] x", **used)
    model = read(proto)
    scale_products(model)
    assert [node.op_type for node in model.graph] == [*operators.split(), "Relu"]
    feed = {"x": np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)}
    np.testing.assert_allclose(
        run(serialize(model), feed)["y"], run(proto, feed)["y"], rtol=1e-4, atol=1e-5
    )
