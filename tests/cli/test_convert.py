"""``spiq convert``: the plan of one target, followed for another."""

import json
from pathlib import Path

import pytest
from running import Capture, done, refused

import spiq
from small_mobilenet import model_path
from spiq.planning.plan.values import Plan

FIRST = "/stem/conv/Conv"


@pytest.fixture(scope="module")
def made() -> Plan:
    """The shipped network's plan, with a layer that is wanted in float."""
    return spiq.plan(model_path(), spiq.Config(weight_bits=7, exclude=(FIRST,)))


@pytest.fixture
def path(made: Plan, model: Path) -> Path:
    found = Path("plan.json")
    found.write_text(made.to_json(), encoding="utf-8")
    return found


def test_convert_keeps_what_is_the_networks_and_chooses_grids_anew(
    model: Path, path: Path, made: Plan, capsys: Capture
) -> None:
    done(capsys, "convert", model, "--plan", path, "--target=tensorrt", "--save-plan=trt.json")
    assert (model.parent / f"{model.stem}.tensorrt.onnx").exists()
    other = Plan.load("trt.json")
    assert (other.target, other.weight_bits) == ("tensorrt", 7)
    assert other.left_in_float == {FIRST: "excluded"} and other.inputs == made.inputs
    assert {round(255 * entry.zero) for entry in other.tensors.values()} == {128}


def test_convert_says_what_it_did_as_json(model: Path, path: Path, capsys: Capture) -> None:
    said = done(capsys, "convert", model, "--plan", path, "--target=qnn", "-o", "q.onnx", "--json")
    assert json.loads(said)["target"] == "qnn" and Path("q.onnx").exists()


def test_layers_keep_bits_of_their_own(model: Path, path: Path, capsys: Capture) -> None:
    edited = json.loads(path.read_text())
    edited["layers"]["/classifier/Gemm"]["bits"] = 8
    path.write_text(json.dumps(edited))
    for target in ("openvino", "portable"):
        into = ("--save-plan=o.json", "--force")
        done(capsys, "convert", model, "--plan", path, "--target", target, *into)
        assert Plan.load("o.json").layers["/classifier/Gemm"].bits == 8


def test_bits_of_a_tensor_by_hand_are_refused(model: Path, path: Path, capsys: Capture) -> None:
    edited = json.loads(path.read_text())
    name = next(iter(edited["tensors"]))
    edited["tensors"][name]["bits"] = 6
    path.write_text(json.dumps(edited))
    error = refused(capsys, "convert", model, "--plan", path, "--target=qnn")
    assert "has 6 bits of its own, and grids are chosen anew" in error


def test_unknown_target_is_refused(model: Path, path: Path, capsys: Capture) -> None:
    error = refused(capsys, "convert", model, "--plan", path, "--target=coreml")
    assert "unknown target 'coreml': choose one of onnxruntime, portable" in error


def test_int8_file_is_not_the_plans_model(model: Path, path: Path, capsys: Capture) -> None:
    done(capsys, "quantize", model, "--no-timing", "-o", "small.onnx")
    error = refused(capsys, "convert", "small.onnx", "--plan", path, "--target=qnn")
    assert "already quantized" in error and "give the float network" in error


def test_what_goes_to_one_file_is_refused(model: Path, path: Path, capsys: Capture) -> None:
    command = ("convert", model, "--plan", path, "--target=qnn")
    error = refused(capsys, *command, "-o", "a.onnx", "--save-plan=a.onnx")
    assert "--save-plan a.onnx is the output too: choose another name" in error
    error = refused(capsys, *command, "--save-plan", path, "--force")
    assert "is the plan that is read: choose another name" in error


def test_what_is_there_stays_without_force(model: Path, path: Path, capsys: Capture) -> None:
    Path("there.onnx").write_bytes(b"mine")
    error = refused(capsys, "convert", model, "--plan", path, "--target=qnn", "-o", "there.onnx")
    assert "is there already: replace it with --force" in error
