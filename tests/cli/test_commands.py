"""The commands as a user meets them: what they print, where, and what they write."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from running import CARD, Capture, content, done, refused

import spiq
from engine_in_process import InHere, opened_here
from small_mobilenet import model_path
from spiq import speed
from spiq.cli import main
from spiq.planning.plan.values import Plan

# quantize


def test_quantize_writes_beside_the_model(model: Path, capsys: Capture) -> None:
    page = done(capsys, "quantize", model)
    assert "23 of 23 quantized" in page
    assert "spiq, W8A8, for onnxruntime" in page
    assert "542 kB → 23" in page
    assert re.search(r"SNR +\d+\.\d dB \(\d+ to \d+\) +logits", page)
    assert "note: input 'image': assumed" in page
    assert sorted(content()) == ["model.int8.onnx", "model.onnx"]
    assert Path("model.int8.onnx").read_bytes() == spiq.quantize(model_path()).model


def test_quantize_takes_every_option(model: Path, capsys: Capture) -> None:
    report = json.loads(
        done(
            capsys,
            "quantize",
            model,
            "-o",
            "small.onnx",
            "--method=static",
            "--weight-bits=6",
            "--activation-bits",
            7,
            "--target=portable",
            "--exclude",
            "/blocks/blocks.1/*",
            "--exclude=/stem*",
            "--input-mean=78",
            "--input-std=96",
            "--save-plan=p.json",
            "--json",
        )
    )
    assert (report["model"], report["output"]) == ("model.onnx", "small.onnx")
    assert (report["method"], report["target"]) == ("static", "portable")
    assert (report["weight_bits"], report["activation_bits"]) == (6, 7)
    left = {layer["name"]: layer["reason"] for layer in report["layers"] if not layer["quantized"]}
    assert len(left) == 4
    assert set(left.values()) == {"excluded"}
    assert "from the mean and std given" in report["notes"][0]
    plan = Plan.load("p.json")
    assert spiq.apply(model_path(), plan).model == Path("small.onnx").read_bytes()


def test_float_layers_are_grouped_by_reason(model: Path, capsys: Capture) -> None:
    page = done(capsys, "quantize", model, "--exclude=/blocks/*")
    assert "3 of 23 quantized" in page
    assert "20 left in float: excluded" in page
    assert "/blocks/blocks.0/depthwise/conv/Conv" in page
    assert "and 12 more" in page


@pytest.mark.parametrize(
    "how",
    [
        ["--input-range", "-1,1"],
        ["--input-range=-1,1", "--input-range=-2,2", "--input-range=0,3"],
        ["--input-range", "-1,1,-2,2,0,3"],
    ],
)
def test_input_range(model: Path, capsys: Capture, how: list[str]) -> None:
    report = json.loads(done(capsys, "quantize", model, *how, "--json"))
    low, high = (-1, 1) if len(how) == 2 and how[1] == "-1,1" else (-2, 3)
    assert report["notes"] == [f"input 'image': range {low} to {high}, as given"]


def test_low_snr_warns(model: Path, capsys: Capture) -> None:
    assert main(["quantize", str(model), "--weight-bits=2", "--activation-bits=3", "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    low, high = report["snr_interval_db"]["logits"]
    assert low < report["snr_db"]["logits"] < high and low < 10
    assert err.startswith("spiq: warning: output 'logits' has an SNR of about")
    assert err.count("\n") == 1


def test_force_overwrites_the_model(model: Path, capsys: Capture) -> None:
    assert "choose another name" in refused(capsys, "quantize", model, "-o", model)
    done(capsys, "quantize", model, "-o", model, "--force")
    assert model.read_bytes() == spiq.quantize(model_path()).model


# The other commands


def test_inspect_one(model: Path, capsys: Capture) -> None:
    page = done(capsys, "inspect", model, "--exclude=/stem*")
    assert "22 of 23 can be quantized" in page
    assert "1 left in float: excluded" in page
    data = json.loads(done(capsys, "inspect", model, "--json"))
    assert len(data["layers"]) == 23


def test_inspect_two(model: Path, capsys: Capture) -> None:
    done(capsys, "quantize", model)
    page = done(capsys, "inspect", model, "model.int8.onnx")
    assert "/classifier/Gemm" in page
    assert "lowest" in page
    data = json.loads(done(capsys, "inspect", model, "model.int8.onnx", "--json"))
    assert data["tensors"][-1]["snr_db"] > 20
    assert "two models" in refused(capsys, "inspect", model, model, "--target=portable")
    assert "nowhere" in refused(capsys, "inspect", model, "model.int8.onnx", "--images=nowhere")
    assert "float first" in refused(capsys, "inspect", "model.int8.onnx", model)
    assert "nope.onnx" in refused(capsys, "inspect", model, "nope.onnx")


def test_eval(model: Path, capsys: Capture) -> None:
    page = done(capsys, "eval", model, CARD, "--limit=40", "--batch=8", "--threads=1")
    assert "top-5" in page
    assert "agree" not in page
    page = done(capsys, "eval", model, model, CARD, "--limit=40")
    assert "100.00" in page
    assert "exact" in page
    data = json.loads(done(capsys, "eval", model, model, CARD, "--limit=40", "--json"))
    assert data["images"] == 40
    assert data["models"][1]["comparison"]["agreement"] == 100


def test_eval_divided(model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = InHere()
    monkeypatch.setattr("spiq.evaluation.shards.opened", opened_here(engine))
    command = ("eval", model, model, CARD, "--limit=40", "--threads=1", "--json")
    whole = json.loads(done(capsys, *command))
    divided = json.loads(done(capsys, *command, "--shards=3", "--memory=1G"))
    assert len(engine.done) == 3
    for one, other in zip(whole["models"], divided["models"], strict=True):
        assert [one[name] for name in ("top1", "top5", "comparison")] == [
            other[name] for name in ("top1", "top5", "comparison")
        ]
    assert "--memory much" in refused(capsys, *command, "--memory=much")


def test_bench(model: Path, capsys: Capture) -> None:
    page = done(capsys, "bench", model, model, "--seconds=0.05", "--shape=image=1,3,24,24")
    assert "median" in page
    assert "1 thread, batch 1" in page
    assert "above 1 is faster" in page
    data = json.loads(done(capsys, "bench", model, model, "--seconds=0.05", "--batch=2", "--json"))
    assert data["batch"] == 2
    first, second = data["models"]
    faster = second["times_as_fast"]
    assert 0 < faster["low"] <= faster["value"] <= faster["high"]
    assert faster["value"] == pytest.approx(first["median_ms"] / second["median_ms"])


def test_bench_and_pareto_as_pictures(model: Path, capsys: Capture) -> None:
    pytest.importorskip("vl_convert", reason="needs vl-convert: pip install 'spiq[report]'")
    for command in (("bench", model, "--seconds=0.05"), ("pareto", model)):
        done(capsys, *command, "--plot=picture.svg", "--force")
        assert "<svg" in Path("picture.svg").read_text()
        assert "is there already" in refused(capsys, *command, "--plot=picture.svg")
        assert "name it .png or .svg" in refused(capsys, *command, "--plot=picture")


def test_demo(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spiq.demo.run._SECONDS", 0.1)
    page = done(capsys, "demo")
    assert all(name in page for name in ("float32", "static int8", "spiq int8"))
    if find_spec("vl_convert") is None:
        assert content() == {}
        return
    assert str(Path("spiq-demo.html").resolve()) in page.replace("\n", "")
    assert "<html" in Path("spiq-demo.html").read_text()
    assert list(content()) == ["spiq-demo.html"]
    found = json.loads(done(capsys, "demo", "--report=other.html", "--json"))
    assert Path(found["report"]) == Path("other.html").resolve()
    assert "is there already" in refused(capsys, "demo", "--report=other.html")


# The program


def test_version_and_help(capsys: Capture) -> None:
    assert done(capsys, "--version") == f"spiq {spiq.__version__}\n"
    assert done(capsys) == done(capsys, "--help")
    for command in ("quantize", "inspect", "eval", "bench", "sweep", "demo"):
        assert command in done(capsys, "--help")
        assert "--json" in done(capsys, command, "--help")
    assert "quantise" in refused(capsys, "quantise")


@pytest.mark.process
@pytest.mark.parametrize("program", [["-m", "spiq"], ["-m", "spiq.cli"]])
def test_as_a_program(program: list[str]) -> None:
    command = [sys.executable, *program, "quantize", "nope.onnx"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "spiq: error: 'nope.onnx': there is no such file: check the path\n"


@pytest.mark.process
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_progress_only_on_a_terminal(model: Path) -> None:
    import pty

    main_end, terminal = pty.openpty()
    command = [sys.executable, "-m", "spiq", "quantize", str(model), "--no-timing"]
    environment = {**os.environ, "TERM": "xterm"}
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, env=environment)
    os.close(terminal)
    seen = os.read(main_end, 1 << 16).decode()
    os.close(main_end)
    assert ended.returncode == 0
    assert "verify" in seen
    assert "layers" in ended.stdout.decode()


def test_latency_is_measured_and_said(
    model: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_TINY_MS", 0.0)
    out = tmp_path / "timed.onnx"
    shown = done(capsys, "quantize", model, "-o", out, "--timing")
    assert "of float's" in shown
    report = json.loads(done(capsys, "quantize", model, "-o", out, "--timing", "--json", "--force"))
    found = report["latency"]
    assert found["low"] <= found["ratio"] <= found["high"]
    options = ("--no-timing", "--json", "--force")
    silent = json.loads(done(capsys, "quantize", model, "-o", out, *options))
    assert silent["latency"] is None


def test_pareto_names_what_is_preferred(model: Path, capsys: Capture) -> None:
    page = done(capsys, "pareto", model)
    assert all(name in page for name in ("all on integers", "speed", "balanced", "accuracy"))
    found = json.loads(done(capsys, "pareto", model, "--json"))
    assert found["schema"] == "spiq/pareto/1"
    assert found["points"][0]["slack"] == 0 and found["on_integers"]["in_float"] == []
