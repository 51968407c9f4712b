"""Inputs that say which rows are summed up: of graphs."""

import numpy as np
import pytest

import spiq
from small_networks import build, run
from spiq.graph.neighbours import adjacencies
from spiq.io.read import read
from spiq.runtime.snr import snr_db

LAYER = "m = MatMul(x, w) "


@pytest.mark.parametrize(
    ("body", "inputs", "found"),
    [
        (LAYER + "y = MatMul(a, m)", "float[1,12,8] x, float[1,12,12] a", True),
        (LAYER + "u = Unsqueeze(a, one) y = MatMul(u, m)", "float[1,12,8] x, float[12,12] a", True),
        (LAYER + "y = MatMul(a, m)", "float[N,8] x, float[N,N] a", True),
        (LAYER + "y = MatMul(a, m)", "float[1,12,8] x, float[1,6,12] a", False),
        (LAYER + "y = MatMul(a, m)", "float[1,3,8] x, float[1,3,3] a", False),
        (LAYER + "y = MatMul(m, a)", "float[1,12,8] x, float[1,8,8] a", False),
        (LAYER + "s = MatMul(m, t) y = Add(s, a)", "float[1,12,8] x, float[1,12,12] a", False),
        (LAYER + "s = MatMul(a, m) y = Softmax(s)", "float[1,12,8] x, float[1,12,12] a", False),
        (LAYER + "y = MatMul(a, m)", "float[1,N,8] x, float[1,M,N] a", False),
    ],
    ids=[
        "graph",
        "unsqueezed",
        "open",
        "not square",
        "a rotation",
        "from the right",
        "a mask",
        "queries",
        "open and not square",
    ],
)
def test_what_is_a_graph(body: str, inputs: str, found: bool) -> None:
    given = {"w": (8, 8), "one": np.array([0]), "t": (8, 12)}
    used = {name: array for name, array in given.items() if f", {name})" in body}
    model = build(body, inputs=inputs, **used)
    assert [*adjacencies(read(model).graph)] == ["a"] * found


def _normalized(rng: np.random.Generator, rows: int) -> np.ndarray:
    linked = np.eye(rows)
    for row in range(rows):
        near = rng.choice(rows, 2, replace=False)
        linked[row, near] = linked[near, row] = 1
    root = np.sqrt(linked.sum(axis=1))
    return (linked / root[:, None] / root).astype(np.float32)[None]


def test_layers_on_graphs_have_ranges_of_means_of_neighbours() -> None:
    """They were shown numbers around 0, and had ranges 6 times too wide, in each layer anew."""
    body = (
        "m1 = MatMul(x, w1) a1 = MatMul(a, m1) r1 = Relu(a1) "
        "m2 = MatMul(r1, w2) a2 = MatMul(a, m2) r2 = Relu(a2) y = MatMul(r2, w3)"
    )
    inputs = "float[1,40,16] x, float[1,40,40] a"
    model = build(body, inputs=inputs, w1=(16, 32), w2=(32, 32), w3=(32, 4))
    result = spiq.quantize(model.SerializeToString(), spiq.Config(timing=False))
    assert any("'a' multiplies rows from the left" in note for note in result.report.notes)
    rng = np.random.default_rng(0)
    feeds = {
        "x": rng.standard_normal((1, 40, 16)).astype(np.float32),
        "a": _normalized(rng, 40),
    }
    assert snr_db(run(model, feeds)["y"], run(result.model, feeds)["y"]) > 15
