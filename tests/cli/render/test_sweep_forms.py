"""Marks, text, JSON and CSV of a sweep that is made up."""

import csv
import json
from typing import Any

import pytest
from rich.console import Console

from spiq.cli.render.csv import COLUMNS, render_csv
from spiq.cli.render.json import render_json
from spiq.cli.render.tables.sweep import render_sweep
from spiq.evaluation.estimates import Estimate
from spiq.sweep.measures import SweepCell, SweepLatency, SweepScore
from spiq.sweep.summary import SweepNetwork, SweepResult, best, marked


def about(value: float) -> Estimate:
    return Estimate(value=value, low=value - 1, high=value + 1)


def cell(method: str, value: float | None, snr: float | None = 20.0, bits: int = 8) -> SweepCell:
    score = SweepScore(
        images=400,
        value=about(value or 0),
        float_value=about(57.75),
        difference=about((value or 0) - 57.75),
        agreement=93.25,
        snr_db={"a": snr, "b": None},
        worst_snr_db=snr,
        quantize_seconds=0.25,
        bytes=1000,
        latency=SweepLatency(milliseconds=1.05, float_milliseconds=1.2, times_as_fast=about(1.143)),
    )
    return SweepCell(
        network="net",
        method=method,
        weight_bits=bits,
        activation_bits=8,
        state="done" if value is not None else "refused",
        reason="" if value is not None else f"{method} has no {bits} bits: take others",
        score=score if value is not None else None,
    )


def result(*cells: SweepCell, **other: Any) -> SweepResult:
    network = SweepNetwork(
        name="net",
        task="classification",
        metric="top-1 %",
        model="model.onnx",
        card="card.toml",
        images=400,
        value=about(57.75),
        milliseconds=1.2,
    )
    values: dict[str, Any] = {
        "version": "1",
        "onnxruntime": "2",
        "limit": None,
        "methods": ("one", "two"),
        "bits": ("W8A8", "W4A8"),
        "seconds": 3.0,
        "measured": len(cells),
        "networks": (network,),
        "cells": marked(cells),
    }
    return SweepResult(**values | other)


def page(shown: SweepResult) -> str:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(render_sweep(shown))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


@pytest.mark.parametrize(
    ("values", "which"),
    [
        ([1.0, 2.0], [False, True]),
        ([58.004, 57.996, 57.99], [True, True, False]),
        ([None, -3.0], [False, True]),
        ([None, None], [False, False]),
        ([], []),
    ],
)
def test_best(values: list[float | None], which: list[bool]) -> None:
    assert best(values, digits=2) == which


def test_marks_by_row_metric_and_ratio() -> None:
    cells = marked(
        [
            cell("one", 58.001, 19.96),
            cell("two", 58.0, 20.04),
            cell("three", None),
            cell("one", 30.0, None, bits=4),
            cell("two", 31.0, 30.0, bits=4),
        ]
    )
    assert [x.best for x in cells] == [True, True, False, False, True]
    assert [x.best_snr for x in cells] == [True, True, False, True, False]


def test_text() -> None:
    shown = page(result(cell("one", 58.0), cell("two", 57.0, None), cell("three", None, bits=4)))
    lines = [line.split() for line in shown.splitlines()]
    assert ["net:", "float", "57.75", "top-1", "%,", "1.20", "ms"] in lines
    one = ["W8A8", "one", "*", "58.00", "+0.25", "93.2", "20.0", "1.05", "1.14x", "0.2"]
    assert one in lines
    assert ["two", "57.00", "-0.75", "93.2", "*", "exact", "1.05", "1.14x", "0.2"] in lines
    assert ["W4A8", "three", "refused"] in lines
    assert "refused: net three W4A8: three has no 4 bits: take others" in shown
    assert "3 cells in 3.0 s" in shown
    assert "known before" not in shown


def test_text_says_what_was_known_and_what_went_wrong() -> None:
    shown = page(result(cell("one", 58.0), measured=0, limit=64, notes=("net: no latency",)))
    assert "1 cell in 3.0 s, 1 of them known before; the first 64 images" in shown
    assert "net: no latency" in shown


def test_json_is_whole() -> None:
    data = json.loads(render_json(result(cell("one", 58.0), cell("two", None))))
    one, two = data["cells"]
    assert one["score"]["snr_db"] == {"a": 20.0, "b": None}
    assert (one["best"], one["best_snr"], one["state"]) == (True, True, "done")
    assert (two["score"], two["state"]) == (None, "refused")
    assert data["networks"][0]["value"]["value"] == 57.75


def test_csv() -> None:
    text = render_csv(result(cell("one", 58.0), cell("two", 57.0, None), cell("three", None)))
    one, two, three = csv.DictReader(text.splitlines())
    assert tuple(one) == COLUMNS
    assert (one["network"], one["method"], one["weight_bits"]) == ("net", "one", "8")
    assert (one["value"], one["value_low"], one["float_value"]) == ("58.0000", "57.0000", "57.7500")
    assert (one["times_as_fast"], one["milliseconds"], one["best"]) == ("1.1430", "1.0500", "1")
    assert (two["worst_snr_db"], two["best"], two["best_snr"]) == ("inf", "0", "1")
    assert (three["state"], three["value"], three["images"]) == ("refused", "", "")
