"""An output that holds things of several kinds counts errors relative to each of them."""

import numpy as np
import pytest

from small_networks import build, floats
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.planning.errors.output_importance import output_importance
from spiq.stats.channel import stats
from spiq.stats.propagate import measure

SHAPES = {"wa": (4, 3, 1, 1), "wb": (6, 3, 1, 1)}
TAILS = {
    "joined": "[k] y = Concat<axis=1>(am, b)",
    "reshaped, then joined": "[ar] ar = Reshape(am, flat) [br] br = Reshape(b, flat) "
    "[k] y = Concat<axis=1>(ar, br)",
    "joined, then turned": "[k] k = Concat<axis=1>(am, b) [t] y = Transpose<perm=[0,2,3,1]>(k)",
}


def importance(tail: str, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Variances and importance of an output of four channels times a factor and six others."""
    body = f"[a] a = Conv(x, wa) [am] am = Mul(a, factor) [b] b = Conv(x, wb) {tail}"
    used = {"flat": np.array([0, 0, -1], np.int64)} if "flat" in tail else {}
    prepared = prepare(read(build(body, factor=floats(factor), **SHAPES, **used)))
    ones = np.ones((1, 3, 1, 1))
    measured = measure(prepared, {"x": stats(0 * ones, ones, -4 * ones, 4 * ones, "input")})
    (output,) = prepared.model.graph.outputs
    var = measured.stats[output].var
    return var.reshape(-1), output_importance(output, measured).reshape(-1)


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_boxes_and_scores_count_alike(tail: str) -> None:
    var, found = importance(tail, factor=640)
    shares = var * found
    assert shares[:4].sum() == pytest.approx(0.5) and shares[4:].sum() == pytest.approx(0.5)
    assert len(np.unique(found[:4])) == len(np.unique(found[4:])) == 1


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_things_of_one_kind_count_by_their_joint_power(tail: str) -> None:
    var, found = importance(tail, factor=3)
    np.testing.assert_allclose(found, 1 / var.sum())
