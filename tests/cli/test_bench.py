"""``spiq bench`` with several settings, and what is refused."""

import json
from pathlib import Path

import pytest
from running import Capture, done, refused

from spiq.cli import main


def test_every_number_of_threads_meets_every_batch(model: Path, capsys: Capture) -> None:
    said = done(capsys, "bench", model, "--seconds=0.1", "--batch=1,2", "--threads=1,2", "--json")
    runs = [(run["threads"], run["batch"]) for run in json.loads(said)["runs"]]
    assert runs == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_one_setting_prints_one_table(model: Path, capsys: Capture) -> None:
    said = done(capsys, "bench", model, "--seconds=0.1", "--batch=2")
    assert said.count("per second") == 1 and "batch 2" in said


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("--batch=0", "--batch 0: write it like 1,8, each number at least 1"),
        ("--threads=one", "--threads one: write it like 1,8, each number at least 0"),
        ("--runtime=tvm", "unknown runtime 'tvm': choose one of onnxruntime, openvino"),
    ],
)
def test_what_makes_no_sense_is_refused(
    option: str, problem: str, model: Path, capsys: Capture
) -> None:
    assert problem in refused(capsys, "bench", model, option)


def test_profile_names_the_operators_that_take_longest(model: Path, capsys: Capture) -> None:
    said = done(capsys, "bench", model, "--seconds=0.1", "--profile", "--json")
    found = json.loads(said)["models"][0]["operators"]
    assert len(found) == 10 and all(0 < one["share"] < 1 for one in found)
    assert [one["milliseconds"] for one in found] == sorted(
        (one["milliseconds"] for one in found), reverse=True
    )
    page = done(capsys, "bench", model, "--seconds=0.1", "--profile")
    assert "operators of" in page


def test_peers_are_timed_beside_the_first(model: Path, capsys: Capture) -> None:
    code = main(["bench", str(model), "--seconds=0.1", "--peers", "--json"])
    out, err = capsys.readouterr()  # on stderr: that NNCF is not installed
    names = [one["model"] for one in json.loads(out)["models"]]
    assert code == 0 and names[1:3] == ["quantize_static", "quantize_dynamic"]
    assert "nncf" in names or "nncf: not installed" in err


def test_the_share_of_the_kernels_best(model: Path, capsys: Capture) -> None:
    said = done(capsys, "bench", model, "--seconds=0.1", "--peak")
    assert "% of peak" in said and "GMAC/s" in said
    assert "% of peak" not in done(capsys, "bench", model, "--seconds=0.1")


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "0"])
def test_seconds_that_are_none_are_refused(model: Path, seconds: str, capsys: Capture) -> None:
    said = refused(capsys, "bench", model, f"--seconds={seconds}")
    assert "seconds" in said and "above 0" in said
