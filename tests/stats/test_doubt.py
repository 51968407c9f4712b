"""Doubt is passed on with the moments that it is of."""

import numpy as np
import pytest

from small_networks import build
from spiq.io.read import read
from spiq.passes.batchnorm import Moments
from spiq.passes.prepare import Prepared, prepare
from spiq.stats.channel import stats
from spiq.stats.propagate import measure

DOUBT = np.array([0.1, 0.2, 0.3, 0.4])
PASSED = {
    "activation": ("y = Relu(c)", DOUBT),
    "pool": ("y = MaxPool<kernel_shape=[2,2]>(c)", DOUBT),
    "Concat": ("y = Concat<axis=1>(c, c)", np.tile(DOUBT, 2)),
    "sum with itself": ("y = Add(c, c)", np.full(4, np.sqrt(np.square(DOUBT).mean()))),
    "layer": ("y = Conv(c, v)", np.full(2, np.sqrt(np.square(DOUBT).mean()))),
}


def doubtful(body: str) -> Prepared:
    shapes = {"w": (4, 3, 3, 3)} | ({"v": (2, 4, 1, 1)} if "v)" in body else {})
    prepared = prepare(read(build(f"c = Conv(x, w) {body}", **shapes)))
    told = {"c": Moments(np.zeros(4), np.ones(4), "synthetic", DOUBT)}
    return Prepared(prepared.model, told, prepared.norms)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PASSED)
def test_doubt_is_passed_on(name: str) -> None:
    body, expected = PASSED[name]
    prepared = doubtful(body)
    known = stats(np.zeros((1, 3, 1, 1)), np.ones((1, 3, 1, 1)), source="input")
    found = measure(prepared, {"x": known}).stats[prepared.model.graph.outputs[0]]
    np.testing.assert_allclose(found.doubt.reshape(-1), expected)


def test_what_is_told_without_doubt_has_none() -> None:
    assert not stats([1.0, 2.0], 1.0).doubt.any()
