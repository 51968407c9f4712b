"""The engine: what is measured, what is remembered, and what happens when something goes wrong."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from engine_in_process import Killed
from small_mobilenet import card_path, model_path
from spiq import evaluation, pipeline
from spiq.config import Config
from spiq.errors import ConfigError, ModelError, OutputError, UnsupportedError
from spiq.evaluation import latency
from spiq.evaluation.data.preprocess import input_range
from spiq.sweep import cells
from spiq.sweep.run import SweepProgress, run
from sweep_in_process import spoil

REAL = pipeline.quantize


def fail(error: BaseException) -> None:
    raise error


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "out").rglob("*"))


def test_figures_are_those_of_an_evaluation(sweep, tmp_path: Path) -> None:
    result = sweep(limit=60, latency=True)
    (cell,) = result.cells
    card = evaluation.read(card_path())
    config = Config(method="static", input_range=input_range(card.input))
    quantized = pipeline.quantize(model_path(), config).model
    first, second = evaluation.evaluate([model_path(), quantized], card, limit=60, batch=1).models
    assert cell.state == "done"
    assert (cell.score.value, cell.score.float_value) == (second.top1, first.top1)
    assert cell.score.agreement == second.comparison.agreement
    assert cell.score.difference == second.comparison.top1_difference
    assert cell.score.snr_db == pytest.approx(second.comparison.snr_db, abs=0.1)
    assert cell.score.worst_snr_db == cell.score.snr_db["logits"]
    assert (cell.score.images, cell.score.bytes) == (60, len(quantized))
    assert cell.score.latency.milliseconds > 0
    (network,) = result.networks
    assert (network.value, network.images, network.metric) == (first.top1, 60, "top-1 %")
    assert network.milliseconds == cell.score.latency.float_milliseconds
    assert [file.suffix for file in files(tmp_path) if file.is_file()] == [".json"]


def test_known_cells_are_not_run_again(sweep, tmp_path: Path, monkeypatch) -> None:
    sweep()
    (file,), quantize = (tmp_path / "out").rglob("*.json"), pipeline.quantize
    stored = json.loads(file.read_text())
    stored["score"]["agreement"] = 12.5
    file.write_text(json.dumps(stored))
    monkeypatch.setattr(pipeline, "quantize", lambda *_, **__: pytest.fail("was run again"))
    again = sweep()
    assert (again.measured, again.cells[0].score.agreement) == (0, 12.5)
    monkeypatch.setattr(pipeline, "quantize", quantize)
    more = sweep(["static"], "W8A8,W6A6")
    assert (more.measured, more.cells[0].score.agreement) == (1, 12.5)
    forced = sweep(force=True)
    assert (forced.measured, forced.cells[0].score.agreement) == (1, 100)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', "null"])
def test_what_cannot_be_read_is_run_again(sweep, tmp_path: Path, text: str) -> None:
    sweep()
    (file,) = (tmp_path / "out").rglob("*.json")
    whole = file.read_text()
    file.write_text(text or whole.replace('"key": "', '"key": "0'))
    assert sweep().measured == 1
    assert json.loads(file.read_text())["key"] == json.loads(whole)["key"]


def test_latency_is_caught_up_with(sweep) -> None:
    assert sweep().cells[0].score.latency is None
    result = sweep(latency=True)
    assert result.measured == 0
    assert result.cells[0].score.latency.times_as_fast.value > 0
    assert sweep(latency=True).cells == sweep().cells == result.cells


def test_cells_that_cannot_be_done(sweep, monkeypatch) -> None:
    error = UnsupportedError("spiq has no\nsuch bits: take others")
    spoil(monkeypatch, "spiq", lambda: fail(error))
    result = sweep(["spiq", "static"], "W8A8,W6A6")
    states = [(cell.method, cell.state, cell.reason) for cell in result.cells]
    assert states[:2] == [
        ("spiq", "refused", "spiq has no such bits: take others"),
        ("static", "done", ""),
    ]
    assert [state for _, state, _ in states] == ["refused", "done"] * 2
    assert sweep(["spiq", "static"], "W8A8,W6A6").measured == 0
    assert [cell.best for cell in result.cells] == [False, True] * 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("no luck"), "RuntimeError: no luck"),
        (Killed("its process was killed"), "its process was killed"),
        (Killed(""), "no result"),
    ],
)
def test_failed_cells_stop_no_others(sweep, monkeypatch, error, reason: str) -> None:
    spoil(monkeypatch, "spiq", lambda: fail(error))
    bad, good = sweep(["spiq", "static"]).cells
    assert (bad.state, bad.reason, bad.score) == ("failed", reason, None)
    assert good.state == "done"
    monkeypatch.setattr(pipeline, "quantize", REAL)
    again = sweep(["spiq", "static"])
    assert again.measured == 1
    assert all(cell.state == "done" for cell in again.cells)


def test_network_that_cannot_be_evaluated_stops_no_others(sweep, monkeypatch) -> None:
    evaluate = evaluation.evaluate

    def refuse(models, *rest, **options):
        if any(model == b"broken" for model in models):
            raise ModelError("model 2: ONNX Runtime cannot load it")
        return evaluate(models, *rest, **options)

    def quantize(model, config, **rest):
        made = REAL(model, config, **rest)
        return replace(made, network=b"broken") if config.method == "spiq" else made

    monkeypatch.setattr(evaluation, "evaluate", refuse)
    monkeypatch.setattr(pipeline, "quantize", quantize)
    bad, good = sweep(["spiq", "static"]).cells
    assert (bad.state, bad.reason) == ("failed", "ONNX Runtime cannot load it")
    assert good.state == "done"


def test_latency_that_cannot_be_measured_is_said(sweep, monkeypatch) -> None:
    monkeypatch.setattr(latency, "compare", lambda *_, **__: fail(RuntimeError("no clock")))
    result = sweep(latency=True)
    assert result.notes == ("mobilenetv2-digits: latency was not measured: no clock",)
    assert result.cells[0].state == "done"


def test_network_that_is_none(sweep, tmp_path: Path) -> None:
    for name in ("card.toml", "digits.npz"):
        shutil.copy(card_path().with_name(name), tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no network")
    result = sweep(["spiq", "static"], card=tmp_path / "card.toml", latency=True)
    assert [cell.state for cell in result.cells] == ["failed"] * 2
    assert "is not an ONNX file" in result.cells[0].reason
    assert (result.networks[0].value, result.notes) == (None, ())


def test_interruption_keeps_what_is_done(sweep, tmp_path: Path) -> None:
    def interrupt(now: SweepProgress) -> None:
        if now.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(["static"], "W8A8,W7A7,W6A6", progress=interrupt)
    (written,) = [file for file in files(tmp_path) if file.is_file()]
    assert json.loads(written.read_text())["state"] == "done"
    assert sweep(["static"], "W8A8,W7A7,W6A6").measured == 2


def test_progress(sweep) -> None:
    seen: list[SweepProgress] = []
    sweep(["static"], latency=True, progress=seen.append)
    assert [seen[0].phase, seen[-1].phase] == ["cells", "latency"]
    assert (seen[-1].done, seen[-1].total, seen[-1].running) == (1, 1, ())
    texts = [step.text for now in seen for _, step in now.running]
    assert "static W8A8, verify" in texts
    assert "evaluate 1 cell" in texts
    assert "time 1 cell" in texts


def test_refuses(tmp_path: Path) -> None:
    networks = cells.subjects([str(card_path())], limit=1)
    with pytest.raises(ConfigError, match="jobs is 0"):
        run(networks, ["spiq"], [cells.Bits(8, 8)], folder=tmp_path, jobs=0)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be a folder of results"):
        run(networks, ["spiq"], [cells.Bits(8, 8)], folder=tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
