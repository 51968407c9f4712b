"""``spiq report``, and ``spiq quantize --report``."""

import subprocess
import sys
from pathlib import Path

import pytest
from running import CARD, Capture, done, refused

from spiq.cli import main

pytest.importorskip("vl_convert", reason="no vl-convert: pip install 'spiq[report]'")


def test_a_page_is_written_and_its_path_said(model: Path, capsys: Capture) -> None:
    assert done(capsys, "report", model, CARD) == "report.html\n"
    page = Path("report.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "model.onnx" in page
    assert "<script>" in page


def test_a_page_that_is_there_is_kept(model: Path, capsys: Capture) -> None:
    Path("report.html").write_text("mine")
    assert "--force" in refused(capsys, "report", model, CARD)
    done(capsys, "report", model, CARD, "--force")
    assert Path("report.html").read_text("utf-8") != "mine"


def test_a_file_that_lies_there_is_reported(model: Path, capsys: Capture) -> None:
    done(capsys, "quantize", model, "-o", "q.onnx", CARD, "--json")
    done(capsys, "report", model, "q.onnx", "-o", "page.html", CARD)
    assert "not made by the plan" not in Path("page.html").read_text("utf-8")


def test_a_plan_is_reported(model: Path, capsys: Capture) -> None:
    done(capsys, "plan", "make", model, "-o", "plan.json", CARD)
    done(capsys, "report", model, "--plan", "plan.json")
    assert Path("report.html").exists()
    assert "leave one of them out" in refused(
        capsys, "report", model, "--plan", "plan.json", "--exclude", "x", "-o", "other.html"
    )


def test_quantize_writes_a_page_too(model: Path, capsys: Capture) -> None:
    done(capsys, "quantize", model, "-o", "q.onnx", "--report", "page.html", CARD)
    assert Path("q.onnx").exists()
    assert Path("page.html").read_text("utf-8").startswith("<!doctype html>")


def test_commands_in_the_page_have_the_options_that_were_given(
    model: Path, capsys: Capture
) -> None:
    done(capsys, "report", model, "--weight-bits", "3", "--input-range=-2.1,2.6")
    page = Path("report.html").read_text("utf-8")
    assert "spiq quantize model.onnx --input-range=-2.1,2.6 --bits-per-weight 4" in page


def test_outputs_are_kept_apart(model: Path, capsys: Capture) -> None:
    assert "is the output too" in refused(
        capsys, "quantize", model, "-o", "q.onnx", "--report", "q.onnx", CARD
    )
    assert "is the model that is read" in refused(capsys, "report", model, "-o", model)
    assert "there is no folder" in refused(capsys, "report", model, "-o", "no/page.html")


def test_what_makes_a_page_imports_nothing_that_draws() -> None:
    """Where that is missing, it is said, which takes this much to be there."""
    seen = "import sys, spiq.report.make; sys.exit('altair' in sys.modules)"
    subprocess.run([sys.executable, "-c", seen], check=True)


@pytest.mark.parametrize("missing", ["altair", "vl_convert"])
def test_what_is_not_installed_is_said_before_any_work(
    model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    said = refused(capsys, "report", model)
    assert "pip install 'spiq[report]'" in said
    assert said == refused(capsys, "quantize", model, "--report", "page.html")


def test_a_float_network_in_the_place_of_a_quantized_one_is_refused(
    model: Path, capsys: Capture
) -> None:
    said = refused(capsys, "report", model, model, "-o", "page.html", CARD)
    assert "is not quantized: give the quantized form of the network" in said


def test_a_file_that_is_no_network_is_refused(model: Path, capsys: Capture) -> None:
    Path("q.onnx").write_bytes(b"no")
    assert "q.onnx" in refused(capsys, "report", model, "q.onnx")


def test_another_network_is_refused(model: Path, capsys: Capture) -> None:
    assert main(["report", "none.onnx"]) == 2
    assert "no such file" in capsys.readouterr().err
