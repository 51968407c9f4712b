"""Networks in runtimes other than ONNX Runtime, and what is said of those that cannot run there."""

import signal
import subprocess
import sys

import numpy as np
import onnx
import pytest

from small_networks import build
from spiq.errors import ConfigError, ModelError
from spiq.runtime import engines, probe
from spiq.runtime.engines import named_in, opened_in
from spiq.runtime.probe import Work, why_not


def network() -> bytes:
    return build("[c] y = Conv(x, w)", w=(4, 3, 3, 3)).SerializeToString()


def test_unknown_runtime_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown runtime 'tvm': choose one of onnxruntime, open"):
        opened_in("tvm", network())


def test_a_runtime_that_is_not_installed_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=r"pip install 'spiq\[openvino\]'"):
        opened_in("openvino", network())


def test_names_tell_runtimes_apart_where_there_are_several() -> None:
    assert [name for _, _, name in named_in(["onnxruntime"], ["a", "b"])] == ["a", "b"]
    assert named_in(["onnxruntime", "openvino"], ["a"])[1] == (0, "openvino", "a (openvino)")


def child(monkeypatch: pytest.MonkeyPatch, code: int, stderr: bytes = b"") -> None:
    """Let the child process end like this."""

    def run(*_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess([], code, b"", stderr)

    monkeypatch.setattr(probe.subprocess, "run", run)


def test_a_crash_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, -signal.SIGSEGV)
    assert why_not(Work(network(), 1), None) == "crashes on it (SIGSEGV)"


def test_a_refusal_is_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, 1, b"Traceback\nNo conversion rule for: Frobnicate\n")
    assert why_not(Work(network(), 1), None) == "cannot run it: No conversion rule for: Frobnicate"


def test_a_child_that_ends_well_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, 0, b"some warning\n")
    assert why_not(Work(network(), 1), None) == ""


def test_a_child_really_is_another_process() -> None:
    said = why_not(Work(b"no network", 1), None)
    assert said.startswith("cannot run it: ") and len(said.splitlines()) == 1


def test_openvino_agrees_with_onnx_runtime() -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an extra")
    feeds = {"x": np.random.default_rng(0).random((2, 3, 16, 16), np.float32)}
    one, other = (opened_in(name, network(), threads=1) for name in engines.RUNTIMES)
    assert [p.name for p in other.get_inputs()] == ["x"]
    assert other.get_inputs()[0].shape == [None, 3, 16, 16]
    assert other.get_outputs()[0].type == "tensor(float)"
    np.testing.assert_allclose(other.run(["y"], feeds)[0], one.run(["y"], feeds)[0], atol=1e-4)


def test_openvino_says_what_it_cannot_read() -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an extra")
    node = onnx.helper.make_node("Frobnicate", ["x"], ["y"], domain="nowhere")
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("nowhere", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    with pytest.raises(ModelError, match=r"net\.onnx: OpenVINO cannot run it"):
        opened_in("openvino", model.SerializeToString(), name="net.onnx").run(
            ["y"], {"x": np.ones(1, np.float32)}
        )
