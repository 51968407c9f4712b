"""The table of speed is made of what was measured, and marks what misses its goal."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script("speed", monkeypatch)


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
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


def test_other_tools_are_given_images_and_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of older exporters list their weights as inputs, at times in front of the image."""
    graph = onnx.parser.parse_graph(
        """
        g (float[4,3,1,1] w, float[1,3,8,8] x) => (float[1,4,8,8] y) {
            y = Conv(x, w)
        }
        """
    )
    graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w"))
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
    made.ir_version = 8
    onnx.save(made, tmp_path / "net.onnx")
    peers = script("peers", monkeypatch)
    images = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    peers.ort_static(tmp_path / "net.onnx", tmp_path / "out.onnx", images)
    operators = {node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node}
    assert operators == {"QuantizeLinear", "DequantizeLinear", "Conv"}
