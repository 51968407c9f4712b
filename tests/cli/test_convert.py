"""``spiq convert``: the plan of one target, followed for another."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from running import Capture, Stream, done, refused

import large_networks
import spiq
from small_mobilenet import model_path
from spiq.cli import main
from spiq.convert import convert
from spiq.planning.plan.values import Plan

FIRST = "/stem/conv/Conv"
LAST = "/classifier/Gemm"


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
    edited["layers"][LAST]["bits"] = 8
    path.write_text(json.dumps(edited))
    for target in ("openvino", "portable"):
        into = ("--save-plan=o.json", "--force")
        done(capsys, "convert", model, "--plan", path, "--target", target, *into)
        assert Plan.load("o.json").layers[LAST].bits == 8


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


# By the quantized file


@pytest.fixture
def quantized(model: Path, capsys: Capture) -> Path:
    """The network, quantized by options and with its plan beside it."""
    options = ("--weight-bits=7", "--exclude", FIRST, "--input-range=-2,2.5", "--no-timing")
    done(capsys, "quantize", model, *options, "--save-plan=plan.json")
    return Path("model.int8.onnx")


def by_plan(target: str, plan: str = "plan.json") -> bytes:
    """Return what the float network and a plan make."""
    return convert(model_path(), Plan.load(plan), target).model


def test_a_quantized_file_is_made_anew_by_its_plan(quantized: Path, capsys: Capture) -> None:
    said = json.loads(done(capsys, "convert", quantized, "--target=tensorrt", "--json"))
    assert (said["model"], said["plan"]) == ("model.onnx", "model.int8.onnx")
    assert said["output"] == "model.tensorrt.onnx" and said["weight_bits"] == 7
    assert Path("model.tensorrt.onnx").read_bytes() == by_plan("tensorrt")


def test_and_what_comes_of_that_once_more(quantized: Path, capsys: Capture) -> None:
    done(capsys, "convert", quantized, "--target=qnn", "--save-plan=qnn.json")
    done(capsys, "convert", "model.qnn.onnx", "--target=openvino")
    assert Path("model.openvino.onnx").read_bytes() == by_plan("openvino", "qnn.json")


def edited(change: Callable[[dict[str, Any]], object]) -> Path:
    plan = json.loads(Path("plan.json").read_text())
    change(plan)
    path = Path("edited.json")
    path.write_text(json.dumps(plan))
    return path


def by_hand(plan: dict[str, Any]) -> None:
    plan["layers"][LAST]["bits"] = 5
    name = next(name for name in plan["layers"] if name not in (FIRST, LAST))
    plan["left_in_float"][name] = "by hand"


def test_a_plan_that_was_edited_before(quantized: Path, capsys: Capture) -> None:
    plan = edited(by_hand)
    done(capsys, "quantize", "model.onnx", "--plan", plan, "-o", "mine.int8.onnx")
    given = ("--float=model.onnx", "--save-plan=other.json")
    done(capsys, "convert", "mine.int8.onnx", "--target=openvino", *given)
    assert Path("mine.openvino.onnx").read_bytes() == by_plan("openvino", "edited.json")
    other = Plan.load("other.json")
    assert other.layers[LAST].bits == 5 and "by hand" in other.left_in_float.values()


def test_a_plan_that_is_edited_since(quantized: Path, capsys: Capture) -> None:
    done(capsys, "convert", quantized, "--plan", edited(by_hand), "--target=openvino")
    assert Path("model.openvino.onnx").read_bytes() == by_plan("openvino", "edited.json")


def test_bits_of_a_tensor_by_hand_are_in_the_file(quantized: Path, capsys: Capture) -> None:
    name = next(iter(Plan.load("plan.json").tensors))
    plan = edited(lambda plan: plan["tensors"][name].update(bits=6))
    done(capsys, "quantize", "model.onnx", "--plan", plan, "--force")
    error = refused(capsys, "convert", quantized, "--target=qnn")
    assert f"tensor '{name}' has 6 bits of its own" in error


def test_the_float_network_is_looked_for_beside_the_file(quantized: Path, capsys: Capture) -> None:
    Path("nets").mkdir()
    Path("model.onnx").rename("nets/elsewhere.onnx")
    error = refused(capsys, "convert", quantized, "--target=qnn")
    assert "'model.onnx' is not there: give the float network that it was made from by --" in error
    done(capsys, "convert", quantized, "--target=qnn", "--float=nets/elsewhere.onnx")
    assert Path("model.qnn.onnx").read_bytes() == by_plan("qnn")
    quantized.rename("small.onnx")
    error = refused(capsys, "convert", "small.onnx", "--target=openvino")
    assert "'small.onnx': its weights are rounded: give the float network that" in error
    error = refused(capsys, "convert", "small.onnx", "--target=openvino", "--float=model.onnx")
    assert "'model.onnx': there is no such file" in error
    done(capsys, "convert", "small.onnx", "--target=openvino", "--float=nets/elsewhere.onnx")
    assert Path("small.openvino.onnx").read_bytes() == by_plan("openvino")


def test_another_float_network_of_that_name(quantized: Path, capsys: Capture) -> None:
    Path("model.onnx").rename("right.onnx")
    other = onnx.load("right.onnx")
    other.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(
            2 * onnx.numpy_helper.to_array(other.graph.initializer[0]),
            other.graph.initializer[0].name,
        )
    )
    onnx.save(other, "model.onnx")
    error = refused(capsys, "convert", quantized, "--target=qnn")
    assert "'model.onnx' is not the network that 'model.int8.onnx' was made from" in error
    assert "give that one by --float" in error
    done(capsys, "convert", quantized, "--target=qnn", "--float=right.onnx")
    error = refused(capsys, "convert", "right.onnx", "--float=model.onnx", "--target=vitis")
    assert "--float is for a file that spiq quantized, and 'right.onnx' is none" in error


def test_a_plan_of_another_network_beside_the_file(quantized: Path, capsys: Capture) -> None:
    plan = edited(lambda plan: plan.update(model_hash="abc"))
    error = refused(capsys, "convert", quantized, "--plan", plan, "--target=qnn")
    assert "edited.json: the plan was made for another network than 'model.int8.onnx'" in error


@pytest.mark.parametrize(
    "text",
    ["", "[" * 100_000, '{"model_hash": "\x1b[31m\n', "{}"],
    ids=["nothing", "nested", "escapes", "object"],
)
def test_damage_of_what_a_file_says(text: str, quantized: Path, capsys: Capture) -> None:
    model = onnx.load(quantized)
    next(entry for entry in model.metadata_props if entry.key == "spiq.plan").value = text
    onnx.save(model, quantized)
    error = refused(capsys, "convert", quantized, "--target=qnn")
    assert "'model.int8.onnx': give the float network and its plan" in error
    done(capsys, "convert", "model.onnx", "--plan=plan.json", "--target=qnn")


def test_files_of_others_are_refused(quantized: Path, capsys: Capture) -> None:
    model = onnx.load(quantized)
    del model.metadata_props[:]
    onnx.save(model, quantized)
    for given in ((), ("--plan=plan.json",)):
        error = refused(capsys, "convert", quantized, "--target=qnn", *given)
        assert "already quantized" in error and error.endswith("give the float network\n")


def test_a_float_network_needs_a_plan(model: Path, capsys: Capture) -> None:
    error = refused(capsys, "convert", model, "--target=qnn")
    assert "'model.onnx' is a float network: give the file that spiq made of it" in error
    assert "there is no such file" in refused(capsys, "convert", "no.onnx", "--target=qnn")


def test_to_quantize_a_quantized_file_is_refused(quantized: Path, capsys: Capture) -> None:
    error = refused(capsys, "quantize", quantized, "--target=qnn")
    assert "already quantized" in error and "or `spiq convert` this for another target" in error


def test_a_network_that_was_made_to_take_pixels_is_in_no_file(model: Path, capsys: Capture) -> None:
    done(capsys, "quantize", model, "--uint8-input", "--input-range=-2,2.5", "--no-timing")
    error = refused(capsys, "convert", "model.int8.onnx", "--target=qnn")
    assert "'model.onnx' is not the network that 'model.int8.onnx' was made from" in error


def test_a_quantized_file_from_a_pipe(
    quantized: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Stream()
    monkeypatch.setattr(sys, "stdin", Stream(quantized.read_bytes()))
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["convert", "-", "--target=qnn", "--float=model.onnx"]) == 0
    assert out.content() == by_plan("qnn")


def test_a_large_network_with_its_weights_beside_it(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    large_networks.small_limits(monkeypatch)
    path = large_networks.saved(tmp_path, large_networks.network())
    given = ("--input-range=-2.118,2.64", "--save-plan=plan.json")
    done(capsys, "quantize", path.name, *given)
    done(capsys, "convert", "net.int8.onnx", "--target=openvino")
    other = convert(path, Plan.load("plan.json"), "openvino").model
    assert Path("net.openvino.onnx").read_bytes() == other
    Path("net.data").unlink()
    error = refused(capsys, "convert", "net.int8.onnx", "--target=qnn")
    assert "net.data" in error
