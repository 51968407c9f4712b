"""What is divided by its own sum or its own length."""

import numpy as np
import onnx_ir as ir
import pytest

import spiq
from small_networks import build
from spiq.io.read import read
from spiq.stats.channel import stats
from spiq.stats.rules.own_total import lengths, of_own_total, shares

AXIS = {"axis": np.array([2])}
SUM = "s = ReduceSum(x, axis) y = Div(x, s)"


def quotient(body: str) -> ir.Node:
    model = build(body, inputs="float[1,4,8] x", **AXIS, least=np.array(1e-6, np.float32))
    return next(node for node in read(model).graph if node.op_type == "Div")


@pytest.mark.parametrize(
    ("body", "shared", "long"),
    [
        (SUM, (2,), None),
        ("s = ReduceSum<keepdims=0>(x, axis) u = Unsqueeze(s, axis) y = Div(x, u)", (2,), None),
        ("s = ReduceL2<axes=[2]>(x) m = Max(s, least) y = Div(x, m)", None, (2,)),
        ("q = Mul(x, x) s = ReduceSum(q, axis) r = Sqrt(s) y = Div(x, r)", None, (2,)),
        ("q = Abs(x) s = ReduceSum(q, axis) y = Div(x, s)", None, None),
        ("s = ReduceSum(x, axis) y = Div(s, x)", None, None),
    ],
    ids=["sum", "laid out", "length", "length spelt out", "of another", "the other way"],
)
def test_what_is_divided_by_itself(body: str, shared: object, long: object) -> None:
    node = quotient(body)
    assert (shares(node), lengths(node)) == (shared, long)


def test_shares_end_at_0_and_1() -> None:
    known = stats(np.full((1, 1, 1), 0.5), 0.1, 0.0)
    found = of_own_total(quotient(SUM), [known, None])
    assert found is not None
    assert (found[0].low.item(), found[0].high.item()) == (0, 1)
    assert found[0].mean.item() == pytest.approx(1 / 8)
    assert found[0].var.item() == pytest.approx(0.1 / 4**2)


def test_what_may_be_negative_has_no_shares() -> None:
    assert of_own_total(quotient(SUM), [stats(np.full((1, 1, 1), 0.5), 0.1), None]) is None


def test_shares_that_are_mixed_and_divided_by_their_sum_again_are_stored_from_0_to_1() -> None:
    """They were stored on both sides of 0, and cut off where they are sharp."""
    body = (
        "q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) kt = Transpose<perm=[0,2,1]>(k) "
        "l = MatMul(q, kt) p = Softmax(l) h = Mul(p, half) a = Add(h, near) "
        "s = ReduceSum(a, axis) d = Div(a, s) o = MatMul(d, v) y = MatMul(o, wo)"
    )
    weights = {name: (24, 24) for name in ("wq", "wk", "wv", "wo")}
    constants = {"half": np.array(0.3, np.float32), "near": 0.7 * np.eye(16, dtype=np.float32)}
    model = build(body, inputs="float[1,16,24] x", **weights, **constants, **AXIS)
    config = spiq.Config(input_range=((-4, 4),), timing=False)
    stored = spiq.quantize(model.SerializeToString(), config).plan.tensors["d"]
    assert (stored.low, stored.high) == ((0.0,), (1.0,))
