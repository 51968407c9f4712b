"""Plans on the command line: made, shown, edited, followed, and refused in one line."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from running import Capture, content, done, refused

import spiq
from small_mobilenet import model_path
from spiq.planning.plan.values import Plan

FIRST = "/stem/conv/Conv"
LAST = "/classifier/Gemm"


@pytest.fixture(scope="module")
def made() -> str:
    """The shipped network's plan."""
    return spiq.plan(model_path()).to_json()


@pytest.fixture
def path(made: str, model: Path) -> Path:
    """The plan, beside the model."""
    found = Path("plan.json")
    found.write_text(made, encoding="utf-8")
    return found


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")


# Making


def test_make_writes_what_quantize_would_follow(model: Path, made: str, capsys: Capture) -> None:
    assert done(capsys, "plan", "make", model) == made
    assert done(capsys, "plan", "make", model, "-o", "plan.json") == ""
    done(capsys, "quantize", model, "-o", "at_once.onnx", "--save-plan=saved.json")
    done(capsys, "quantize", model, "-o", "followed.onnx", "--plan=plan.json")
    assert Path("plan.json").read_text() == Path("saved.json").read_text() == made
    assert Path("at_once.onnx").read_bytes() == Path("followed.onnx").read_bytes()


def test_make_takes_every_option(model: Path, capsys: Capture) -> None:
    options = ["--method=static", "--activation-bits=7", "--first-last-bits=8", "--target=portable",
               "--exclude=/blocks/blocks.1/*", "--input-mean=78", "--input-std=96"]  # fmt: skip
    done(capsys, "plan", "make", model, "-o", "p.json", "--bits-per-weight=4.5", *options)
    made = Plan.load("p.json")
    assert (made.method, made.target, made.activation_bits) == ("static", "portable", 7)
    assert made.layers[FIRST].bits == 8 and made.tensors["image"].bits == 8
    assert set(made.left_in_float.values()) == {"excluded"}
    assert any("4." in note and "on average" in note for note in made.notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "no/plan.json"], "there is no folder"),
        (["-o", "model.onnx"], "is the model that is read"),
        (["--method=magic"], "unknown method 'magic'"),
        (["--bits-per-weight=9"], "bits_per_weight is 9.0: it must be from 2 to 8"),
    ],
)
def test_make_refuses(options: list[str], words: str, model: Path, capsys: Capture) -> None:
    assert words in refused(capsys, "plan", "make", model, *options)


# Showing


def test_show_is_a_table_of_tensors_layers_and_reasons(path: Path, capsys: Capture) -> None:
    edit(path, lambda d: d["left_in_float"].update({LAST: "by hand"}))
    edit(path, lambda d: d["layers"][FIRST].update(bits=6, reason="so it is"))
    page = done(capsys, "plan", "show", path)
    for words in ("W8A8 where nothing else is said", "1: by hand", "-2.118 … 2.64", "so it is",
                  "correlated", "scales 2", "note", "float"):  # fmt: skip
        assert words in page or words == "note", words
    assert re.search(r"image +1 +8 +-2.118 … 2.64 +\d+ +3 ", page)
    assert re.search(rf"{FIRST} +6 +correlated +corrected +so it is", page)
    assert re.search(rf"{LAST} +float +by hand", page)


def test_show_as_json_is_the_plan_as_spiq_would_write_it(
    path: Path, made: str, capsys: Capture
) -> None:
    edit(path, lambda d: d)
    assert path.read_text() != made
    assert done(capsys, "plan", "show", path, "--json") == made


def test_show_of_mixed_precision_says_why(model: Path, capsys: Capture) -> None:
    done(capsys, "plan", "make", model, "-o", "plan.json", "--bits-per-weight=5")
    page = done(capsys, "plan", "show", "plan.json")
    assert "one fewer would add" in page
    assert "5.00 bits on average" in page or "4.99 bits on average" in page


def test_plan_without_a_command_is_help(capsys: Capture) -> None:
    assert "make" in done(capsys, "plan") and "show" in done(capsys, "plan", "--help")


# Following


def test_report_names_the_plan(path: Path, model: Path, capsys: Capture) -> None:
    assert re.search(r"plan +plan\.json", done(capsys, "quantize", model, "--plan", path))
    report = json.loads(done(capsys, "quantize", model, "--plan", path, "--json", "--force"))
    assert report["plan"] == "plan.json"
    page = done(capsys, "quantize", model, "--force")
    assert "plan.json" not in page


def test_model_says_by_which_plan_it_was_made(path: Path, model: Path, capsys: Capture) -> None:
    def plan_hash(name: str) -> str:
        found = {entry.key: entry.value for entry in onnx.load(name).metadata_props}
        return found["spiq.plan_hash"]

    done(capsys, "quantize", model, "-o", "a.onnx", "--plan", path)
    done(capsys, "quantize", model, "-o", "b.onnx")
    edit(path, lambda d: d["layers"][LAST].update(bits=4))
    done(capsys, "quantize", model, "-o", "c.onnx", "--plan", path)
    assert plan_hash("a.onnx") == plan_hash("b.onnx") != plan_hash("c.onnx")


def test_edited_plan_is_followed(path: Path, model: Path, capsys: Capture) -> None:
    edit(path, lambda d: d["left_in_float"].update({LAST: "by hand"}))
    edit(path, lambda d: d["layers"][FIRST].update(bits=4))
    page = done(capsys, "quantize", model, "--plan", path, "--save-plan=followed.json")
    assert "22 of 23 quantized" in page
    assert "1 left in float: by hand" in page
    assert "W7." in page
    followed = Plan.load("followed.json")
    assert LAST not in followed.layers and followed.layers[FIRST].bits == 4


@pytest.mark.parametrize("option", [
    "--method=spiq", "--weight-bits=8", "--activation-bits=8", "--first-last-bits=8",
    "--bits-per-weight=5", "--max-bytes=100k", "--target=onnxruntime", "--exclude=*",
    "--input-range=0,1", "--input-mean=0", "--input-std=1",
])  # fmt: skip
def test_options_beside_a_plan_are_refused(
    option: str, path: Path, model: Path, capsys: Capture
) -> None:
    said = refused(capsys, "quantize", model, "--plan", path, option)
    assert f"--plan says how to quantize, and so does {option.split('=')[0]}:" in said


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another model": (lambda d: d.update(model_hash="abc"), "made for another model"),
    "format of before": (lambda d: d.pop("format"), "has format 1; this spiq reads format 3"),
    "bits": (lambda d: d["layers"][FIRST].update(bits=1), f"layer '{FIRST}': bits: 1 is not"),
    "a slip": (lambda d: d["layers"][FIRST].update(bit=4), "unknown entry 'bit', did you mean"),
    "a layer": (lambda d: d["layers"].update(conv={}), "the network has no layer 'conv'"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_plan_that_does_not_fit_is_refused_in_a_line(
    kind: str, path: Path, model: Path, capsys: Capture
) -> None:
    change, words = WRONG[kind]
    edit(path, change)
    assert words in refused(capsys, "quantize", model, "--plan", path)


@pytest.mark.parametrize("command", [["plan", "show"], ["quantize", "model.onnx", "--plan"]])
@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "plan.json: cannot read the plan: No such file or directory: check the path"),
     ("\udcfb", "plan.json: not a plan of spiq: it is no text"),
     ("", "plan.json: not a plan of spiq: line 1"),
     ('{"model_hash": "",}', "line 1, column 19"), ("{}", "it has no model_hash")],
    ids=["no file", "no text", "empty", "comma", "object"],
)  # fmt: skip
def test_file_that_is_no_plan(
    command: list[str], text: str | None, words: str, model: Path, capsys: Capture
) -> None:
    if text is not None:
        Path("plan.json").write_text(text, "utf-8", "surrogateescape")
    assert words in refused(capsys, *command, "plan.json")


@pytest.mark.parametrize("options", [["-o", "plan.json"], ["--save-plan=plan.json"]])
def test_plan_is_not_overwritten(
    options: list[str], path: Path, model: Path, capsys: Capture
) -> None:
    said = refused(capsys, "quantize", model, "--plan", path, *options)
    assert "is the plan that is read" in said


# Effort


def test_show_says_the_effort(path: Path, capsys: Capture) -> None:
    assert "learned" not in done(capsys, "plan", "show", path)
    edit(path, lambda plan: plan.update(effort="minutes"))
    assert "minutes: roundings are learned" in done(capsys, "plan", "show", path)


def test_make_writes_the_effort(model: Path, capsys: Capture) -> None:
    assert json.loads(done(capsys, "plan", "make", model, "--effort=hours"))["effort"] == "hours"


def test_how_to_learn_stands_beside_a_plan_that_asks_for_it(
    path: Path, model: Path, capsys: Capture
) -> None:
    said = refused(capsys, "quantize", model, "--plan", path, "--seed=3")
    assert "--seed says how to learn, and effort seconds does not" in said
    edit(path, lambda plan: plan.update(effort="minutes"))
    given = ["--plan", path, "--effort=minutes"]
    assert "--plan says how to quantize, and so does --effort" in refused(
        capsys, "quantize", model, *given
    )


def test_a_plan_whose_target_learns_nothing_is_refused(
    path: Path, model: Path, capsys: Capture
) -> None:
    edit(path, lambda plan: plan.update(effort="minutes"))
    said = refused(capsys, "convert", model, "--plan", path, "--target=vitis")
    assert "which target vitis does not take: use effort seconds" in said


def test_without_pytorch_an_effort_is_refused_before_anything_is_done(
    path: Path, model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    edit(path, lambda plan: plan.update(effort="minutes"))
    for given in (["--effort=minutes"], ["--plan", path]):
        said = refused(capsys, "quantize", model, *given)
        assert "effort minutes needs PyTorch: pip install 'spiq[torch]'" in said


# Mixed precision


def test_bits_per_weight(model: Path, capsys: Capture) -> None:
    page = done(capsys, "quantize", model, "--bits-per-weight=5")
    assert "W5.00A8" in page or "W4.99A8" in page
    assert "packed" in page and "the file stores 8" in page
    report = json.loads(
        done(capsys, "quantize", model, "--bits-per-weight=4.5", "--json", "--force")
    )
    assert 4.4 < report["bits_per_weight"] <= 4.5
    assert len({layer["bits"] for layer in report["layers"]}) > 2


@pytest.mark.parametrize(("text", "most"), [("90000", 90_000), ("90k", 90_000), ("0.1M", 100_000),
                                            ("90kB", 90_000)])  # fmt: skip
def test_max_bytes(text: str, most: int, model: Path, capsys: Capture) -> None:
    report = json.loads(done(capsys, "quantize", model, "--max-bytes", text, "--json"))
    assert most - 500 < report["packed_bytes"] <= most


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-bytes=many"], "--max-bytes many: give bytes, such as 250000, 250k or 1.5M"),
        (["--max-bytes=-5"], "give bytes"),
        (["--max-bytes=0"], "max_bytes is 0"),
        (["--max-bytes=9k"], "max_bytes is 9000, and weights of 2 bits, the fewest, take"),
        (["--bits-per-weight=1"], "it must be from 2 to 8"),
        (["--bits-per-weight=5", "--max-bytes=90k"], "give either bits_per_weight or max_bytes"),
        (["--bits-per-weight=5", "--weight-bits=4"], "give either weight_bits"),
        (["--first-last-bits=2"], "first_last_bits is 2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bits_that_make_no_sense(
    options: list[str], words: str, model: Path, capsys: Capture
) -> None:
    assert words in refused(capsys, "quantize", model, *options)


def test_first_last_bits(model: Path, capsys: Capture) -> None:
    options = ["--weight-bits=4", "--activation-bits=4", "--first-last-bits=8"]
    report = json.loads(done(capsys, "quantize", model, *options, "--json"))
    bits = {layer["name"]: layer["bits"] for layer in report["layers"]}
    assert bits[FIRST] == bits[LAST] == 8 and set(bits.values()) == {4, 8}
    assert sorted(content()) == ["model.int8.onnx", "model.onnx"]
