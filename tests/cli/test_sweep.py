import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import Capture, content, done, refused

import sweep_in_process
from small_mobilenet import card_path
from spiq.cli import main

CARD = str(card_path())
FEW = (CARD, "--limit=8", "--methods=spiq,static", "--jobs=1")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, _here: None) -> None:
    sweep_in_process.use(monkeypatch)
    monkeypatch.setattr("spiq.sweep.worker.SECONDS", 0.05)


def test_table_csv_and_json(capsys: Capture) -> None:
    page = done(capsys, "sweep", *FEW, "--bits=W8A8,W4A8", "--out=kept", "--csv=cells.csv")
    assert "mobilenetv2-digits" in page
    assert all(word in page for word in ("W8A8", "W4A8", "spiq", "static", "* ", "4 cells in"))
    with Path("cells.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["method"], row["weight_bits"]) for row in rows] == [
        ("spiq", "8"),
        ("static", "8"),
        ("spiq", "4"),
        ("static", "4"),
    ]
    assert all(row["state"] == "done" and float(row["times_as_fast"]) > 0 for row in rows)
    before = content()
    data = json.loads(done(capsys, "sweep", *FEW, "--bits=W8A8,W4A8", "--out=kept", "--json"))
    assert (data["measured"], data["limit"], len(data["cells"])) == (0, 8, 4)
    assert [cell["score"]["agreement"] for cell in data["cells"]] == [
        float(row["agreement"]) for row in rows
    ]
    assert content() == before


def test_plot(capsys: Capture) -> None:
    pytest.importorskip("vl_convert", reason="needs vl-convert: pip install 'spiq[report]'")
    done(capsys, "sweep", *FEW, "--out=kept", "--plot=sweep.svg")
    assert "mobilenetv2-digits" in Path("sweep.svg").read_text()
    assert "name it .png or .svg" in refused(capsys, "sweep", *FEW, "--plot=sweep.pdf")
    assert "there is no folder" in refused(capsys, "sweep", *FEW, "--plot=no/sweep.png")
    assert "--no-latency" in refused(capsys, "sweep", *FEW, "--plot=a.png", "--no-latency")


def test_cards_by_option_with_networks(model: Path, capsys: Capture) -> None:
    options = ("--limit=2", "--methods=static", "--no-latency", "--json")
    data = json.loads(done(capsys, "sweep", f"--card={CARD}={model}", *options))
    assert data["networks"][0]["model"] == str(model.resolve())
    assert data["cells"][0]["score"]["latency"] is None
    assert any(name.startswith("spiq-sweep/mobilenetv2-digits/static.W8A8.") for name in content())
    again = json.loads(done(capsys, "sweep", "--card", f"{CARD}={model}", *options))
    assert again["measured"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "no card is given"),
        (["nope.toml"], "cannot read the card"),
        ([f"{CARD}=nope.onnx"], "there is no network 'nope.onnx'"),
        ([CARD, "--methods=spiq,magic"], "unknown method 'magic': choose one of spiq"),
        ([CARD, "--bits=8"], "write them like W8A8"),
        ([CARD, "--bits=W8A8,W1A8"], "bits 'W1A8': weight_bits is 1"),
        ([CARD, "--limit=0"], "limit is 0"),
        ([CARD, "--jobs=0"], "jobs is 0"),
        ([CARD, "--csv=no/cells.csv"], "there is no folder"),
        ([CARD, "--out=model.onnx"], "cannot be a folder of results"),
    ],
)
def test_refusals(model: Path, options: list[str], words: str, capsys: Capture) -> None:
    assert words in refused(capsys, "sweep", *options)


def test_failed_cells_warn(capsys: Capture) -> None:
    Path("model.onnx").write_bytes(b"no network")
    command = ["sweep", f"{CARD}=model.onnx", "--methods=static", "--limit=1"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "failed" in out
    assert err.startswith("spiq: warning: 1 of 1 cells failed, such as mobilenetv2-digits static")
    assert err.count("\n") == 1


@pytest.mark.process
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_interruption(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "spiq", "sweep", CARD, "--methods=static", "--jobs=1"]
    running = subprocess.Popen(
        [*command, "--bits=W8A8,W7A7,W6A6,W5A5", "--limit=1", "--out=kept", "--no-latency"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while running.poll() is None and not list(Path("kept").rglob("*.json")):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert (running.returncode, out) == (130, "")
    assert err.startswith("spiq: warning: interrupted; what is done is in kept")
    assert err.count("\n") == 1
    kept = [path for path in Path("kept").rglob("*") if path.is_file()]
    assert all(json.loads(path.read_text())["state"] == "done" for path in kept)
    assert 0 < len(kept) < 4
