"""Plans: plain data that goes to JSON and back, belongs to one model, and says it all."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from small_networks import bn, build, norm, trained
from spiq import Config, Plan, apply, plan, quantize
from spiq.errors import PlanError
from spiq.planning.plan.entries import LayerPlan

BODY = (
    "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r] r = Relu(n1) "
    "[c2] c2 = Conv<pads=[1,1,1,1]>(r, w2) [a] a = Add(c2, r) [q] q = Relu(a) "
    "[g] g = GlobalAveragePool(q) [f] f = Flatten(g) [o] y = Gemm<transB=1>(f, wg, bg)"
)


def network(seed: int = 0) -> onnx.ModelProto:
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "wg": (5, 8), "bg": (5,)}
    return trained(build(BODY, seed=seed, **shapes, **norm("n1", 8, spread=20)))


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return network()


@pytest.fixture(scope="module")
def made(model: onnx.ModelProto) -> Plan:
    return plan(model, Config(weight_bits=6, exclude=("o",)))


@pytest.fixture(scope="module")
def full(model: onnx.ModelProto) -> Plan:
    """A plan with tensors that share channels (r, c2, q, g, f), and a grid (g, f)."""
    return plan(model)


def test_json_round_trip_is_exact(made: Plan, tmp_path: Path) -> None:
    text = made.to_json()
    assert Plan.from_json(text) == made
    assert Plan.from_json(text).to_json() == text
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    assert Plan.load(path) == made


def test_json_holds_everything_with_one_line_per_tensor(made: Plan) -> None:
    text = made.to_json()
    data = json.loads(text)
    assert set(data["tensors"]) == {"x", "r", "c2"}
    assert list(data["layers"]) == ["c1", "c2"]
    assert data["left_in_float"] == {"o": "excluded"}
    assert sum(line.startswith('    "') for line in text.splitlines()) == 1 + 3 + 2 + 1 + 1
    assert len(text) < 3000


def test_json_says_each_decision_in_one_place() -> None:
    """Bits at the top, what tensors have in common with the first of them, repeats once."""
    data = json.loads(plan(network(), Config(weight_bits=6)).to_json())
    tensors = data["tensors"]
    assert (data["weight_bits"], data["activation_bits"]) == (6, 8)
    assert not any("bits" in entry for entry in (*data["layers"].values(), *tensors.values()))
    assert tensors["x"]["low"] == -2.118 and len(tensors["r"]["high"]) == 8
    assert [name for name in tensors if "alpha" in tensors[name]] == ["x", "r"]
    assert [tensors[name]["scale_of"] for name in ("c2", "q", "g", "f")] == ["r"] * 4
    assert tensors["f"]["grid_of"] == "g" and "zero" not in tensors["f"]


def test_json_keeps_what_was_told_apart(full: Plan) -> None:
    """An edit in Python of a tensor that names another one is not lost on the way."""
    edited = replace(full.tensors["f"], bits=4, alpha=0.125)
    told = replace(full, tensors={**full.tensors, "f": edited})
    found = Plan.from_json(told.to_json()).tensors["f"]
    assert (found.bits, found.alpha) == (4, 0.125)
    assert found.grid_of is None and found.scale_of is None


Data = dict[str, Any]
Damage = Callable[[Data], object]


def damaged(made: Plan, damage: Damage) -> str:
    data = json.loads(made.to_json())
    damage(data)
    return json.dumps(data)


TEXTS = {
    "nothing": ("", "line 1, column 1"),
    "words": ("quantize it all", "line 1, column 1"),
    "a list": ("[]", "no model_hash"),
    "a number": ("3", "no model_hash"),
    "null": ("null", "no model_hash"),
    "another object": ('{"graph": []}', "no model_hash"),
    "a comma too many": ('{"model_hash": "",\n}', "line 2, column 1"),
    "nested": ("[" * 100_000, "nested without end"),
    "digits": ('{"model_hash": ' + "9" * 5000 + "}", "digits"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_that_is_no_plan(kind: str) -> None:
    text, words = TEXTS[kind]
    with pytest.raises(PlanError, match=f"^not a plan of spiq: .*{words}") as caught:
        Plan.from_json(text)
    assert "\n" not in str(caught.value)


WRONG: dict[str, tuple[Damage, str]] = {
    "a missing block": (lambda d: d.pop("tensors"), "it has no tensors"),
    "a missing name": (lambda d: d.pop("method"), "it has no method"),
    "an unknown block": (lambda d: d.update(grids={}), "unknown entry 'grids'"),
    "a misspelt block": (
        lambda d: d.update(left_in_flaot={}),
        "unknown entry 'left_in_flaot', did you mean 'left_in_float'",
    ),
    "a list of tensors": (lambda d: d.update(tensors=[]), r"tensors: \[\] is no object"),
    "a tensor that is a number": (lambda d: d["tensors"].update(r=1), "tensor 'r': 1 is no object"),
    "a layer that is a number": (lambda d: d["layers"].update(c1=1), "layer 'c1': 1 is no object"),
    "a reason that is none": (
        lambda d: d["left_in_float"].update(o=None),
        "left_in_float 'o': null is no text",
    ),
    "notes that are a number": (lambda d: d.update(notes=1), "notes: 1 is no list"),
    "a note that is a number": (lambda d: d.update(notes=[1]), "notes: 1 is no text"),
    "a misspelt entry": (
        lambda d: d["tensors"]["r"].update(aplha=1),
        "tensor 'r': unknown entry 'aplha', did you mean 'alpha'",
    ),
    "bits with a fraction": (
        lambda d: d["layers"]["c1"].update(bits=4.5),
        "layer 'c1': bits: 4.5 is no whole number",
    ),
    "bits of 16": (lambda d: d["layers"]["c1"].update(bits=16), "16 is not from 2 to 8"),
    "bits of 12": (lambda d: d["tensors"]["r"].update(bits=12), "12 is not from 2 to 8"),
    "bits of 1 for all": (lambda d: d.update(weight_bits=1), "weight_bits: 1 is not from 2 to 8"),
    "truth in words": (
        lambda d: d["layers"]["c1"].update(bias_correction="yes"),
        "layer 'c1': bias_correction: \"yes\" is neither",
    ),
    "no range": (lambda d: d["tensors"]["r"].pop("high"), "tensor 'r': it has no high"),
    "no layout": (lambda d: d["tensors"]["r"].pop("layout"), "tensor 'r': layout: null"),
    "a layout of nothing": (
        lambda d: d["tensors"]["r"].update(layout=[1, 0]),
        r"tensor 'r': layout \[1, 0\]",
    ),
    "a layout of too much": (
        lambda d: d["tensors"]["r"].update(layout=[1 << 40, 1 << 40]),
        "no shape of channels",
    ),
    "a range of words": (
        lambda d: d["tensors"]["r"].update(high=["wide"] * 8),
        "tensor 'r': high: \"wide\" is no number",
    ),
    "infinity": (lambda d: d["tensors"]["r"].update(high=np.inf), "high: Infinity is not finite"),
    "not a number": (lambda d: d["tensors"]["r"].update(zero=np.nan), "zero: NaN is not finite"),
    "a number beyond floats": (
        lambda d: d["tensors"]["r"].update(high=10**400),
        "high: 10+ ... is not finite",
    ),
    "a grid of nothing": (
        lambda d: d["tensors"]["f"].update(grid_of="z"),
        "tensor 'f': grid_of names 'z', which is not among tensors",
    ),
    "a scale of a number": (
        lambda d: d["tensors"]["c2"].update(scale_of=3),
        "tensor 'c2': scale_of names 3",
    ),
    "a circle": (
        lambda d: d["tensors"]["r"].update(scale_of="c2") or d["tensors"]["r"].pop("alpha"),
        "scale_of leads back to 'r'",
    ),
    "alpha of a tensor that names another": (
        lambda d: d["tensors"]["c2"].update(alpha=0.5),
        "tensor 'c2': its alpha is that of 'r', which scale_of names; edit it there",
    ),
    "bits of a tensor on another's grid": (
        lambda d: d["tensors"]["f"].update(bits=4),
        "tensor 'f': its bits is that of 'g', which grid_of names; edit it there",
    ),
    "an input without an end": (lambda d: d["inputs"]["x"].pop("low"), "input 'x': low: null"),
    "an input beyond float32": (
        lambda d: d["inputs"]["x"].update(high=1e300),
        "input 'x': low and high must be finite numbers of float32",
    ),
    "an input upside down": (
        lambda d: d["inputs"]["x"].update(low=3),
        "input 'x': low must be below high",
    ),
    "an input of two minds": (
        lambda d: d["inputs"]["x"].update(low=[-1, -1], high=[1, 1, 1]),
        "input 'x': low must be below high, one number",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_with_a_plan_is_said_in_a_line(kind: str, full: Plan) -> None:
    damage, words = WRONG[kind]
    with pytest.raises(PlanError, match=words) as caught:
        Plan.from_json(damaged(full, damage))
    assert str(caught.value).startswith("not a plan of spiq: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("odd", ["word", [1], True, {}, 10**400])
@pytest.mark.parametrize("kind", ["zero", "bits", "alpha", "layout", "method", "step_of", "low"])
def test_json_of_another_type_is_a_plan_error(kind: str, odd: object, made: Plan) -> None:
    data = json.loads(made.to_json())
    match kind:
        case "bits":
            data["layers"]["c1"]["bits"] = odd
        case "layout":
            data["tensors"]["r"]["layout"][1] = odd
        case "method":
            data["method"] = odd if odd != "word" else 3
        case "step_of":
            data["tensors"]["r"]["step_of"] = odd if odd != "word" else 3
        case "low":
            data["tensors"]["r"]["low"] = odd if odd != [1] else [[1]]
        case _:
            data["tensors"]["r"][kind] = odd
    with pytest.raises(PlanError, match="not a plan of spiq"):
        Plan.from_json(json.dumps(data))


def test_an_entry_that_stands_there_twice_is_not_lost(made: Plan) -> None:
    line = next(line for line in made.to_json().splitlines() if line.startswith('    "c1"'))
    twice = made.to_json().replace(line, f"{line}\n{line}")
    with pytest.raises(PlanError, match="'c1' stands there 2 times"):
        Plan.from_json(twice)


@pytest.mark.parametrize(
    ("number", "words"),
    [(None, "format 1;.*make a new one"), (1, "format 1;.*make a new one"),
     (2, "format 2;.*make a new one"), (4, "format 4;.*update it"),
     ("two", "format 'two'"), (True, "format True")],
)  # fmt: skip
def test_plan_of_another_format_is_refused_in_a_line(
    number: object, words: str, made: Plan
) -> None:
    data = json.loads(made.to_json())
    data.pop("format") if number is None else data.update(format=number)
    with pytest.raises(PlanError, match=f"made by spiq 0.1.0 and has {words}"):
        Plan.from_json(json.dumps(data))


def test_what_may_be_left_out(made: Plan) -> None:
    """Notes, layers in float, bits that are those of all, and where 0 lies."""
    data = json.loads(made.to_json())
    del data["notes"], data["left_in_float"]
    data["layers"]["c1"] = {}
    data["tensors"]["r"] |= {"low": [-1, 0, 0, 0, 0, 0, 0, -0.5], "high": 3.0}
    data["tensors"]["c2"] |= {"low": -9, "high": 0}
    for name in ("r", "c2"):
        del data["tensors"][name]["zero"]
    found = Plan.from_json(json.dumps(data))
    assert found.notes == () and found.left_in_float == {}
    assert found.layers["c1"] == LayerPlan(bits=6, rounding="nearest", bias_correction=True)
    assert found.tensors["r"].zero == 0.25 and found.tensors["c2"].zero == 1
    assert found.tensors["r"].high == (3.0,) * 8


def test_unreadable_file_is_a_plan_error(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"none\.json"):
        Plan.load(tmp_path / "none.json")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(PlanError, match=r"image\.png"):
        Plan.load(tmp_path / "image.png")
    with pytest.raises(PlanError):
        Plan.load(tmp_path)
    (tmp_path / "model.onnx").write_bytes(network().SerializeToString())
    with pytest.raises(PlanError, match=r"model\.onnx"):
        Plan.load(tmp_path / "model.onnx")
    (tmp_path / "words.json").write_text("words")
    with pytest.raises(PlanError, match=r"words\.json: not a plan of spiq: line 1"):
        Plan.load(tmp_path / "words.json")


@pytest.mark.parametrize("name", ["w1", "bg", "n1_m"])
def test_plan_for_another_model_is_refused(name: str, made: Plan) -> None:
    other = network()
    tensor = next(t for t in other.graph.initializer if t.name == name)
    array = numpy_helper.to_array(tensor).copy()
    array.reshape(-1)[0] += 1
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    with pytest.raises(PlanError, match="another model"):
        apply(other, made)


def test_plan_for_another_attribute_is_refused(made: Plan) -> None:
    other = network()
    other.graph.node[0].attribute[0].ints[0] = 2
    with pytest.raises(PlanError, match="another model"):
        apply(other, made)


def test_same_input_gives_the_same_bytes() -> None:
    assert quantize(network()).model == quantize(network()).model
    assert quantize(network()).model != quantize(network(seed=1)).model
