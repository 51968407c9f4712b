"""What is there is replaced only where that is said; networks come in and go out by pipes, too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from running import CARD, Capture, Stream, done, refused

import spiq
from small_mobilenet import model_path
from spiq.cli import main
from spiq.convert import convert


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("quantize", "model.onnx"), "model.int8.onnx"),
        (("quantize", "model.onnx", "-o", "out.onnx"), "out.onnx"),
        (("quantize", "model.onnx", "--save-plan", "plan.json"), "plan.json"),
        (("plan", "make", "model.onnx", "-o", "plan.json"), "plan.json"),
        (("card", "init", "--task=detection", "-o", "card.toml"), "card.toml"),
    ],
)
def test_what_is_there_stays_without_force(
    model: Path, command: tuple[str, ...], name: str, capsys: Capture
) -> None:
    Path(name).write_text("old")
    Path(name).chmod(0o600)
    said = refused(capsys, *command)
    assert f"{name!r} is there already: replace it with --force, or choose another name" in said
    done(capsys, *command, "--force")
    assert Path(name).read_bytes() != b"old"
    assert Path(name).stat().st_mode & 0o777 == 0o600


def piped(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """The network comes in on stdin; returns stdout."""
    out = Stream()
    monkeypatch.setattr(sys, "stdin", Stream(model_path().read_bytes()))
    monkeypatch.setattr(sys, "stdout", out)
    return out


def test_a_network_through_pipes(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    out = piped(monkeypatch)
    assert main(["quantize", "-", "--no-timing"]) == 0
    made = spiq.quantize(model_path(), spiq.Config(timing=False)).model
    assert out.content() == made
    assert "23 of 23 quantized" in capsys.readouterr().err


def test_a_network_for_another_target_through_pipes(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = spiq.plan(model_path())
    Path("plan.json").write_text(plan.to_json())
    out = piped(monkeypatch)
    assert main(["convert", "-", "--plan=plan.json", "--target=openvino"]) == 0
    assert out.content() == convert(model_path(), plan, "openvino").model
    assert "23 of 23 quantized" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [("quantize", "--no-timing"), ("convert", "--plan=plan.json", "--target=qnn")]
)
def test_nothing_but_the_network_goes_to_stdout(
    command: tuple[str, ...], model: Path, capsys: Capture
) -> None:
    Path("plan.json").write_text(spiq.plan(model).to_json())
    said = refused(capsys, *command, model, "--save-plan=-")
    assert "--save-plan -: only the network goes to stdout: give it a file" in said
    said = refused(capsys, *command, model, "-o", "-", "--json")
    assert "-: stdout takes --json: give -o a file" in said


def test_a_network_from_a_pipe_into_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    out = piped(monkeypatch)
    assert main(["quantize", "-", "-o", "out.onnx"]) == 0
    assert Path("out.onnx").is_file()
    assert b"23 of 23 quantized" in out.content()


@pytest.mark.parametrize(
    "command",
    [
        ("inspect", "-", "--json"),
        ("eval", "-", CARD, "--limit=8", "--json"),
        ("bench", "-", "--seconds=0.05", "--json"),
        ("plan", "make", "-", "-o", "-"),
    ],
)
def test_other_commands_read_from_a_pipe(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = piped(monkeypatch)
    assert main(list(command)) == 0
    assert isinstance(json.loads(out.content()), dict)


def test_what_pipes_cannot(model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "takes --json" in refused(capsys, "quantize", model, "-o", "-", "--json")
    assert "- is given twice" in refused(capsys, "bench", "-", "-")
    monkeypatch.setattr(sys, "stdin", Stream())
    assert "nothing comes in on stdin" in refused(capsys, "inspect", "-")
    monkeypatch.setattr(sys, "stdin", Stream(b"no network"))
    assert "spiq: error" in refused(capsys, "quantize", "-", "-o", "out.onnx")


@pytest.mark.process
def test_a_real_pipe(model: Path) -> None:
    program = [sys.executable, "-m", "spiq", "quantize", "-", "--no-timing"]
    ended = subprocess.run(program, input=model.read_bytes(), capture_output=True)
    assert ended.returncode == 0
    assert ended.stdout == spiq.quantize(model_path(), spiq.Config(timing=False)).model
