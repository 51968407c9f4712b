"""Ctrl-C and kill at many moments: what is said, what is left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from spiq.pipeline import STEPS

SCRIPT = Path(__file__).with_name("interrupted.py")
IMPORTS = (
    *("spiq.cli.app", "typer", "spiq.cli.quantize", "numpy", "onnx", "rich.progress"),
    *("spiq.pipeline", "onnxruntime", "onnxruntime.capi.onnxruntime_pybind11_state"),
)
CALLS = ("spiq.runtime.verify:check_kernels", "os:fsync", "os:link", "os:replace")
RENDERING = "call:spiq.cli.render.tables.quantization:render_quantized"
PRINTING = "call:spiq.cli.output:said_last"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals and fork")


def run(model: Path, *moments: str) -> tuple[int, str, str]:
    """Quantize over an older file; return how it ended and what it printed."""
    for folder in (Path("scratch"), Path("out")):
        folder.mkdir(exist_ok=True)
    Path("out/net.onnx").write_text("old")
    environment = {**os.environ, "TMPDIR": str(Path("scratch").absolute())}
    ended = subprocess.run(
        [sys.executable, SCRIPT, model, *moments], capture_output=True, text=True, env=environment
    )
    return ended.returncode, ended.stdout, ended.stderr.strip()


@pytest.mark.process
@pytest.mark.parametrize("name", IMPORTS)
def test_interrupted_while_importing(model: Path, name: str) -> None:
    code, _, said = run(model, "SIGINT", f"import:{name}")
    assert (code, said) == (130, "")
    assert os.listdir("out") == ["net.onnx"]
    assert Path("out/net.onnx").read_text() == "old"


@pytest.mark.process
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGKILL", -9)])
def test_ended_on_the_way(model: Path, name: str, code: int) -> None:
    """At every step, where the runtime writes a file, and where the result is written.

    (A process killed between the last two calls leaves the next run something to tidy: see
    tests/io/test_killed.py.)
    """
    calls = [f"call:{call}" for call in CALLS if (name, call) != ("SIGKILL", "os:replace")]
    moments = [f"step:{step}" for step in STEPS] + calls
    ended, printed, said = run(model, *(word for when in moments for word in (name, when)))
    assert (ended, said) == (0, "")
    for moment, line in zip(moments, printed.splitlines(), strict=True):
        left = {"code": code, "said": "", "files": ["net.onnx"], "old": True}
        assert json.loads(line) == left, moment


@pytest.mark.process
@pytest.mark.parametrize(("when", "old"), [(RENDERING, True), (PRINTING, False)])
def test_interrupted_while_printing(model: Path, when: str, old: bool) -> None:
    """What is to be printed is made before anything is written, and printed after."""
    _, printed, _ = run(model, "SIGINT", when)
    assert json.loads(printed) == {"code": 130, "said": "", "files": ["net.onnx"], "old": old}


@pytest.mark.process
def test_interrupted_when_all_is_done(model: Path) -> None:
    code, _, said = run(model, "SIGINT", "exit")
    assert (code, said) == (130, "")
    assert Path("out/net.onnx").read_bytes() != b"old"


@pytest.mark.process
@pytest.mark.parametrize("delay", [0.03, 0.1, 0.3])
def test_interrupted_after_a_while(model: Path, delay: float) -> None:
    """Whatever it does then; Python itself takes its time before anything of spiq runs."""
    program = "import sys, spiq.cli; print(flush=True); sys.exit(spiq.cli.main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "quantize", model],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert (process.returncode, said.strip()) == (130, b"")


@pytest.mark.process
def test_interrupted_while_the_runtime_computes() -> None:
    """A network whose loop never ends: nothing is raised in Python meanwhile."""
    text = """
        <ir_version: 8, opset_import: ["": 17]> net (float[1,3,8,8] x) => (float[1,4,8,8] y) {
            count = Constant <value_int = 9000000000000000000> ()
            one = Constant <value_int = 1> ()
            true = Cast <to = 9> (one)
            c = Conv (x, w)
            y = Loop (count, true, c) <body = b (int64 i, bool go, float[1,4,8,8] v)
                => (bool on, float[1,4,8,8] o) { on = Identity (go) o = Identity (v) }>
        }
    """
    model = onnx.parser.parse_model(text)
    weight = onnx.numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    model.graph.initializer.append(weight)
    onnx.save(model, "endless.onnx")
    program = (
        "import sys; from spiq import cli, run; from spiq.cli import interrupt;"
        "interrupt._PATIENCE = 0.1; call = run.reference;"
        "run.reference = lambda *a, **k: (print(flush=True), call(*a, **k))[1];"
        "sys.exit(cli.main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "quantize", "endless.onnx"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (130, b"")
    assert not Path("endless.int8.onnx").exists()


# Nobody takes the result


def printed_to(stream: int) -> tuple[int, str]:
    command = [sys.executable, "-m", "spiq", "--help"]
    ended = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, text=True)
    os.close(stream)
    return ended.returncode, ended.stderr


@pytest.mark.process
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_behind_stdout() -> None:
    code, said = printed_to(os.open("/dev/full", os.O_WRONLY))
    assert code == 2
    assert said.startswith("spiq: error: the result cannot be printed: No space left")
    assert said.count("\n") == 1


@pytest.mark.process
def test_closed_pipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert printed_to(writer) == (1, "")
