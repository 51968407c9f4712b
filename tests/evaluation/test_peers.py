"""What other tools make of a network, to be timed beside it."""

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest

from small_networks import bn, build, norm, trained
from spiq import Config, quantize
from spiq.errors import ConfigError
from spiq.evaluation import peers
from spiq.runtime.session import session

BODY = f"[c] c = Conv<pads=[1,1,1,1]>(x, w) {bn('c', 'n')}[r] r = Relu(n) [o] y = Conv(r, v)"


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return trained(build(BODY, w=(16, 3, 3, 3), v=(8, 16, 1, 1), **norm("n", 16)))


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def test_onnxruntimes_networks(model: onnx.ModelProto, tmp_path: Path) -> None:
    found = peers.made_by_peers(model.SerializeToString(), tmp_path)
    assert {"quantize_static", "quantize_dynamic"} <= set(found.paths)
    assert "QuantizeLinear" in operators(found.paths["quantize_static"])
    assert "ConvInteger" in operators(found.paths["quantize_dynamic"])
    for path in found.paths.values():
        assert "BatchNormalization" not in operators(path)
        image = np.zeros((1, 3, 16, 16), np.float32)
        assert session(path).run(None, {"x": image})[0].shape == (1, 8, 16, 16)


@pytest.mark.skipif(importlib.util.find_spec("nncf") is not None, reason="NNCF is installed")
def test_a_tool_that_is_not_installed_is_named(model: onnx.ModelProto, tmp_path: Path) -> None:
    found = peers.made_by_peers(model.SerializeToString(), tmp_path)
    assert found.missing == {"nncf": "not installed: pip install nncf"}


def test_a_tool_that_fails_is_told_in_one_line(
    model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a\nlong story" * 100)

    monkeypatch.setitem(peers._MAKERS, "quantize_static", fails)
    found = peers.made_by_peers(model.SerializeToString(), tmp_path)
    why = found.missing["quantize_static"]
    assert why.startswith("it fails on this network: a long story") and "\n" not in why
    assert len(why) < 200 and "quantize_dynamic" in found.paths


def test_a_quantized_network_has_no_peers(model: onnx.ModelProto, tmp_path: Path) -> None:
    made = quantize(model, Config(timing=False)).model
    with pytest.raises(ConfigError, match="put the float network first"):
        peers.made_by_peers(made, tmp_path)


def test_tools_that_draw_bars_do_not_spoil_what_is_printed(
    model: onnx.ModelProto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Loud:
        def Dataset(self, feeds: list[object]) -> list[object]:
            return feeds

        def quantize(self, network: onnx.ModelProto, *_: object, **__: object) -> onnx.ModelProto:
            print("Statistics collection ---- 100%")
            return network

    imported = importlib.import_module
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(
        importlib, "import_module", lambda name: Loud() if name == "nncf" else imported(name)
    )
    found = peers.made_by_peers(model.SerializeToString(), tmp_path)
    assert "nncf" in found.paths
    assert capsys.readouterr() == ("", "")
