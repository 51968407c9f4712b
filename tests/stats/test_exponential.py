"""Which entries of an output an Exp made."""

import numpy as np
import pytest

from small_networks import bn, build, norm, trained
from spiq import Config
from spiq.analysis import analyse
from spiq.io.read import read
from spiq.stats.exponential import exponential

HEAD = "[c] c = Conv<pads=[1,1,1,1]>(x, w) " + bn("c", "n") + "[d] d = Conv(n, v, b) "


def made_by_exp(tail: str, **constants: np.ndarray) -> np.ndarray | None:
    """Return where an Exp made the output of a head of 6 channels and ``tail``."""
    shapes = {"w": (8, 3, 3, 3), "v": (6, 8, 1, 1), "b": (6,), **norm("n", 8)}
    network = trained(build(HEAD + tail, inputs="float[1,3,8,8] x", **shapes, **constants))
    known = analyse(read(network), Config())
    return exponential(known.graph, known.measured).get("y")


PARTS = {"split": np.array([2, 2, 2])}


def test_boxes_of_a_detector_are_followed_to_where_they_lie() -> None:
    found = made_by_exp(
        "[s] p, q, r = Split<axis=1>(d, split) [e] e = Exp(q) [m] m = Mul(e, size) "
        "[g] g = Sigmoid(r) [k] k = Concat<axis=1>(p, m, g) [t] t = Transpose<perm=[0,2,3,1]>(k)"
        " [z] y = Reshape(t, rows)",
        size=np.array([8, 16], np.float32).reshape(1, 2, 1, 1),
        rows=np.array([1, -1, 6]),
        **PARTS,
    )
    assert found is not None
    assert found.reshape(-1, 6)[0].tolist() == [False, False, True, True, False, False]


@pytest.mark.parametrize(
    "tail",
    [
        "[e] e = Exp(d) [s] s = ReduceSum(e, axis) [o] y = Div(e, s)",  # a softmax
        "[n1] m = Neg(d) [e] e = Exp(m) [a] a = Add(e, one) [o] y = Div(one, a)",  # a sigmoid
        "[q] q = Mul(d, d) [n1] m = Neg(q) [e] y = Exp(m)",  # a Gaussian
        "[e] e = Exp(d) [a] a = Add(e, one) [o] y = Log(a)",  # a Softplus
    ],
)
def test_what_is_bounded_or_undone_is_none(tail: str) -> None:
    one, axis = np.array(1, np.float32), np.array([1])
    used = {name: a for name, a in {"one": one, "axis": axis}.items() if name in tail}
    assert made_by_exp(tail, **used) is None


def test_a_bound_far_off_is_no_bound() -> None:
    found = made_by_exp("[k] k = Clip(d, , far) [e] y = Exp(k)", far=np.array(9, np.float32))
    assert found is not None and found.all()
