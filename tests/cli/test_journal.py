"""How much commands say, and what a file keeps of it."""

import json
from pathlib import Path

import onnxruntime as ort
import pytest
from running import CARD, Capture, done, refused

from spiq.cli import main
from spiq.runtime.session import session, threads_of_all


def test_quiet_says_nothing(model: Path, capsys: Capture) -> None:
    command = ["quantize", str(model), "--weight-bits=2", "--activation-bits=3", "--force"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "quantized" in out and err.count("warning") == err.count("\n") == 1
    assert done(capsys, *command, "-q") == ""
    assert json.loads(done(capsys, *command, "-q", "--json"))["layers"]
    assert "is there already" in refused(capsys, "quantize", model, "-q")
    assert "top-1" in done(capsys, "eval", model, CARD, "--limit=8", "--quiet")


def test_verbose_says_each_step(model: Path, capsys: Capture) -> None:
    assert main(["plan", "make", str(model), "-v", "-o", "plan.json"]) == 0
    lines = capsys.readouterr().err.splitlines()
    steps = [line.split()[-1] for line in lines]
    assert steps[:4] == ["read", "prepare", "measure", "plan"]
    assert lines[-1].endswith(" s") and "done in" in lines[-1]
    assert "contradict" in refused(capsys, "inspect", model, "-v", "-q")
    assert done(capsys, "plan", "show", "plan.json")  # nothing of it is left


def test_a_file_keeps_all_that_was_said(model: Path, capsys: Capture) -> None:
    assert main(["quantize", str(model), "--weight-bits=2", "--log-file=log.txt", "-q"]) == 0
    assert main(["inspect", "nope.onnx", "--log-file=log.txt"]) == 2
    capsys.readouterr()
    kept = Path("log.txt").read_text()
    for words in ("INFO verify", "onnxruntime 1.", "done in", "failed after", "Traceback"):
        assert words in kept
    assert "ModelError: 'nope.onnx': there is no such file" in kept
    assert "--log-file no/log.txt: cannot be written" in refused(
        capsys, "inspect", model, "--log-file=no/log.txt"
    )


def test_threads(model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    opened = ort.InferenceSession.__init__

    def watched(
        self: ort.InferenceSession, given: object, options: ort.SessionOptions, **more: object
    ) -> None:
        seen.append(options.intra_op_num_threads)
        opened(self, given, options, **more)

    monkeypatch.setattr(ort.InferenceSession, "__init__", watched)
    done(capsys, "quantize", model, "--threads=2", "--no-timing")
    assert max(seen) == 2  # the float network leaves planning its core, and has one
    seen.clear()
    session(model)
    assert seen == [0]
    assert "threads is -1" in refused(capsys, "inspect", model, "--threads=-1")
    with threads_of_all(3):
        session(model, threads=1)
    assert seen[-1] == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    with pytest.raises(SystemExit) as ended:
        main(["--show-completion", shell])
    assert ended.value.code == 0
    assert "spiq" in capsys.readouterr().out
