"""The table of speed is made of what was measured, and marks what misses its goal."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    spec = importlib.util.spec_from_file_location("speed", BENCH / "speed.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "speed", module)
    spec.loader.exec_module(module)
    return module


def entry(
    value: float, low: float, high: float, *, static: float = 1.0, peak: float | None = None
) -> dict[str, object]:
    ours: dict[str, object] = {
        "median_ms": 1.0,
        "times_as_fast": {"value": value, "low": low, "high": high},
    }
    if peak is not None:
        ours["share_of_peak"] = peak
    return {"rows": {"spiq": ours, "ort_static": {"median_ms": static}, "float": {"median_ms": 1}}}


def test_ratios_are_of_latencies(speed: ModuleType) -> None:
    line = speed.speed("net", entry(2.0, 1.6, 2.5, static=1.25, peak=0.4))
    assert line.to_float == pytest.approx((0.5, 0.4, 0.625))
    assert (line.to_static, line.dynamic, line.peak) == (pytest.approx(0.8), None, 40)
    assert line.cells == ["net", "0.50 (0.40 to 0.62)", "0.80", "", "40"]


def test_what_misses_its_goal_has_a_star(speed: ModuleType) -> None:
    slow = speed.speed("resnet50", entry(0.9, 0.85, 0.95, static=0.9, peak=0.5)).cells
    assert [cell.endswith("*") for cell in slow] == [False, True, True, False, True]
    unsure = speed.speed("net", entry(1.01, 0.95, 1.1)).cells
    assert unsure[1].endswith("*")
    assert speed.speed("densenet121", entry(2, 2, 2, static=1.2)).cells[2].endswith("*")


def test_a_network_without_a_time_has_no_line(speed: ModuleType) -> None:
    refused = {"rows": {"spiq": {"error": "does not load"}}}
    assert speed.speeds({"a": refused, "b": entry(1, 1, 1)}) == [speed.speed("b", entry(1, 1, 1))]
    assert speed.table([]).count("\n") == 1
