"""Pictures of results: what is on them, and that they become files."""

import json
from pathlib import Path

import pytest
from test_sweep_forms import cell, result

from spiq.cli.render.plots.front import front
from spiq.errors import ConfigError
from spiq.evaluation.estimates import Estimate
from spiq.evaluation.latency import LatencyResult, LatencyScore
from spiq.planning.choose.give_back import Point
from spiq.speed import ParetoResult

pytest.importorskip("altair", reason="needs Altair: pip install 'spiq[report]'")
pytest.importorskip("vl_convert", reason="needs vl-convert: pip install 'spiq[report]'")

from spiq.cli.render.plots import chart
from spiq.cli.render.plots.bench import plot_latency
from spiq.cli.render.plots.pareto import plot_pareto
from spiq.cli.render.plots.sweep import plot_sweep


def test_front_is_what_nothing_beats() -> None:
    assert front([(1, 50), (2, 60), (3, 55), (2, 60), (2, 59)]) == [True, True, False, True, False]
    assert front([(1, 50), (1, 51)]) == [False, True]
    assert front([]) == []


def drawn(picture) -> str:
    """The text of an SVG, after a PNG of it was made, too."""
    assert chart.drawn(picture, Path("a.PNG")).startswith(b"\x89PNG")
    text = chart.drawn(picture, Path("a.svg")).decode()
    assert text.startswith("<svg")
    return text


def test_sweep() -> None:
    found = result(cell("spiq", 57.5), cell("static", 55.75), cell("dfq", None))
    picture = plot_sweep(found)
    text = drawn(picture)
    assert all(word in text for word in ("net", "top-1 %", "spiq", "static", "W8A8", "float"))
    spec = json.dumps(picture.to_dict())
    assert '"method": "dfq", "bits"' not in spec
    assert spec.count('"front": true') == 2  # float and spiq; static is as fast as spiq


def test_sweep_of_nothing_says_so() -> None:
    assert "no cell was done and timed" in drawn(plot_sweep(result(cell("dfq", None))))


def test_latency() -> None:
    def score(name: str, ms: float, fast: Estimate | None) -> LatencyScore:
        return LatencyScore(
            model=name, median_ms=ms, p90_ms=1.2 * ms, per_second=1 / ms, calls_per_round=1,
            times_as_fast=fast,
        )  # fmt: skip

    scores = (
        score("float.onnx", 2.0, None),
        score("int8.onnx", 1.0, Estimate(value=2.0, low=1.9, high=2.1)),
    )
    run = LatencyResult(rounds=7, threads=1, batch=4, seconds=1.0, models=scores)
    text = drawn(plot_latency((run, run)))
    assert "1 ms, 2.00 times as fast (1.90 to 2.10)" in text
    assert text.count("7 interleaved rounds, 1 thread, batch 4") >= 2


def test_pareto_gives_alike_points_one_name() -> None:
    def point(slack: float, ms: float, error: float) -> Point:
        return Point(slack=slack, ms=ms, error=error, in_float=())

    points = (point(0.0, 1.0, 0.9), point(0.03, 1.02, 0.5), point(0.1, 1.02, 0.5))
    found = ParetoResult(float_ms=2.0, on_integers=point(0.0, 1.1, 1.0), points=points)
    text = drawn(plot_pareto(found, name="net.onnx"))
    for words in ("net.onnx", "all on integers", ">speed<", "balanced, +10%", ">float<"):
        assert words in text


def test_refuses_other_kinds_of_files() -> None:
    with pytest.raises(ConfigError, match=r"--plot a\.pdf: name it \.png or \.svg"):
        chart.check(Path("a.pdf"))
