"""Layouts of too many entries are merged: what is known stays right, and memory stays small."""

import math
import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spiq
from spiq.config import Config
from spiq.graph.operators import MOVING
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.planning.errors.importance import importance_of
from spiq.stats import maps, routing
from spiq.stats.inputs.known import input_stats
from spiq.stats.maps import MOST, crowded, merge, without_copies
from spiq.stats.movers import MOVERS
from spiq.stats.propagate import Measured, measure

KINDS = 21


def detector(side: int) -> onnx.ModelProto:
    """Boxes of three kinds in a row, (1, 3 * side^2, 21), scaled each by a number of its own."""
    rng = np.random.default_rng(5)
    model = onnx.parser.parse_model(f"""
        <ir_version: 9, opset_import: ["": 17]>
        boxes (float[1,3,{side},{side}] x) => (float[1,B,K] y) {{
            a = Conv<pads=[1,1,1,1]> (x, w)
            b = BatchNormalization (a, gamma, beta, mean, var)
            c = Relu (b)
            d = Conv (c, v)
            e = Reshape (d, apart)
            f = Transpose<perm=[0,1,3,2]> (e)
            g = Reshape (f, row)
            h = Sigmoid (g)
            y = Mul (h, size)
        }}""")
    arrays = {
        "w": rng.normal(size=(8, 3, 3, 3)), "v": rng.normal(size=(3 * KINDS, 8, 1, 1)),
        "gamma": rng.uniform(0.5, 2, 8), "beta": rng.normal(size=8),
        "mean": rng.normal(size=8), "var": rng.uniform(0.5, 2, 8),
        "size": rng.uniform(0.5, 2, (1, 3 * side**2, 1)),
    }  # fmt: skip
    sizes = {"apart": (1, 3, KINDS, side**2), "row": (1, 3 * side**2, KINDS)}
    for name, array in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    for name, shape in sizes.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
    return model


def known(monkeypatch: pytest.MonkeyPatch, most: int) -> tuple[Measured, dict[str, np.ndarray]]:
    """Return the statistics, and the importance by name, where ``most`` entries are kept apart."""
    monkeypatch.setattr(maps, "MOST", most)
    monkeypatch.setattr(routing, "MOST", most)
    prepared = prepare(read(detector(24)))
    measured = measure(prepared, input_stats(prepared, Config(input_range=((0, 1),)))[0])
    graph = prepared.model.graph
    return measured, {str(v.name): w for v, w in importance_of(graph, measured).items()}


def test_the_longest_axes_are_merged_and_no_more_than_needed() -> None:
    assert crowded((1, MOST)) == ()
    assert crowded((1, 25200, 85)) == (1,)
    assert crowded((1, 64, 300, 400)) == (3,)
    assert crowded((1, 3000, 300, 400)) == (1, 3)


def test_a_merged_map_shows_the_same_entries_in_the_same_shares() -> None:
    entry = np.repeat(np.array([[0, 1], [2, 3], [4, 5]]), [20000, 30000, 10000], axis=0)[None]
    merged = merge(entry[None])
    assert merged.shape == (6, 1, 1, 2)  # 2 : 3 : 1
    assert sorted(merged[:, 0, 0, 0]) == [0, 0, 2, 2, 2, 4]
    assert sorted(merged[:, 0, 0, 1]) == [1, 1, 3, 3, 3, 5]


def test_entries_in_turns_are_shown_once_each() -> None:
    assert sorted(without_copies(np.tile(np.arange(3), 1000)[:, None])[:, 0]) == [0, 1, 2]


def test_what_is_known_of_boxes_in_a_row_is_that_of_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few, importance = known(monkeypatch, 1 << 10)
    every, exact = known(monkeypatch, 1 << 30)
    wide = {str(value.name): stats for value, stats in every.stats.items()}
    for value, stats in few.stats.items():
        full = wide[str(value.name)]
        axes = tuple(a for a, n in enumerate(stats.layout) if full.layout[a] > n)
        mean, second = (m.mean(axes, keepdims=True) for m in (full.mean, full.second_moment))
        apart = 0.1 if value.name in ("h", "y") else 1e-12  # one Sigmoid of all, or one of each
        np.testing.assert_allclose(stats.mean, mean, atol=apart)
        np.testing.assert_allclose(stats.second_moment, second, atol=apart)
    merged = [str(v.name) for v, s in few.stats.items() if wide[str(v.name)].layout != s.layout]
    assert merged == ["g", "h", "y"]

    # an error counts for all boxes together what it counts for each of them
    assert importance["c"].sum() == pytest.approx(exact["c"].sum(), rel=0.7)
    shares = [found["c"] / found["c"].sum() for found in (importance, exact)]
    np.testing.assert_allclose(*shares, rtol=0.35)


def test_a_detector_takes_no_memory_for_each_pixel() -> None:
    side = 80
    spiq.plan(detector(8))  # what is imported and tabulated on the way counts not
    model = detector(side)
    tracemalloc.start()
    try:
        spiq.plan(model)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    exact = 17 * 8 * math.prod((3, side**2, KINDS))
    assert peak < exact / 2  # of one end of one tensor's ranges for each box: 55 MB


def test_each_operator_that_moves_numbers_has_a_map() -> None:
    assert {*MOVERS} == MOVING
