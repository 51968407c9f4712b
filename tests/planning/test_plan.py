"""Plans: plain data that goes to JSON and back, belongs to one model, and says it all."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from small_networks import bn, build, norm, optimized, trained
from spiq import Config, Plan, apply, plan, quantize
from spiq.errors import PlanError

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
    assert sum(line.startswith('    "') for line in text.splitlines()) == 3 + 2 + 1


DAMAGE = {
    "nothing": lambda text: "",
    "no JSON": lambda text: text[:-10],
    "a list": lambda text: "[]",
    "a number": lambda text: "3",
    "null": lambda text: "null",
    "a missing key": lambda text: text.replace('"tensors"', '"tensor"'),
    "an unknown key": lambda text: text.replace('"version"', '"versions"'),
    "a list of tensors": lambda text: json.dumps({**json.loads(text), "tensors": []}),
    "a tensor without grid": lambda text: text.replace('"grid"', '"mesh"'),
    "a layer that is a number": lambda text: json.dumps({**json.loads(text), "layers": {"c1": 1}}),
    "notes that are a number": lambda text: json.dumps({**json.loads(text), "notes": 1}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_bad_json_is_a_plan_error(damage: str, made: Plan) -> None:
    with pytest.raises(PlanError, match="not a plan"):
        Plan.from_json(DAMAGE[damage](made.to_json()))


@pytest.mark.parametrize("odd", ["word", None, [1], True])
@pytest.mark.parametrize("kind", ["grid", "layers", "alpha", "layout", "method"])
def test_json_of_another_type_is_a_plan_error(kind: str, odd: object, made: Plan) -> None:
    data = json.loads(made.to_json())
    tensor = data["tensors"]["r"]
    match kind:
        case "grid":
            tensor["grid"]["zero_point"] = odd
        case "layers":
            data["layers"]["c1"]["bits"] = odd
        case "alpha":
            tensor["alpha"] = odd
        case "layout":
            tensor["layout"][1] = odd
        case _:
            data["method"] = odd if odd != "word" else 3
    with pytest.raises(PlanError, match="not a plan of spiq"):
        Plan.from_json(json.dumps(data))


def test_unreadable_file_is_a_plan_error(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"none\.json"):
        Plan.load(tmp_path / "none.json")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(PlanError, match=r"image\.png"):
        Plan.load(tmp_path / "image.png")
    with pytest.raises(PlanError):
        Plan.load(tmp_path)


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


CONFIGS = {
    "W8A8": Config(),
    "static": Config(method="static"),
    "W4A6": Config(weight_bits=4, activation_bits=6),
    "excluded": Config(exclude=("o",)),
    "portable": Config(target="portable"),
    "input": Config(input_mean=(0.5,), input_std=(0.2,)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_quantize_is_plan_then_apply(name: str, model: onnx.ModelProto) -> None:
    at_once = quantize(model, CONFIGS[name])
    made = Plan.from_json(plan(model, CONFIGS[name]).to_json())
    assert made == at_once.plan
    assert apply(model, made).model == at_once.model


def test_same_input_gives_the_same_bytes() -> None:
    assert quantize(network()).model == quantize(network()).model
    assert quantize(network()).model != quantize(network(seed=1)).model


def test_editing_a_plan_changes_the_result(model: onnx.ModelProto) -> None:
    made = plan(model)
    layers = {**made.layers, "c2": replace(made.layers["c2"], bits=3)}
    result = apply(model, replace(made, layers=layers))
    found = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load_from_string(result.model).graph.initializer
    }
    weights = [array for array in found.values() if array.dtype == np.int8 and array.ndim == 4]
    assert sorted(int(np.abs(array).max()) for array in weights) == [3, 127]
    assert optimized(result.model)["QLinearConv"] == 2


EDITS = {
    "a stored tensor is missing": lambda p: replace(
        p, tensors={k: v for k, v in p.tensors.items() if k != "r"}
    ),
    "an unknown tensor": lambda p: replace(p, tensors={**p.tensors, "z": p.tensors["r"]}),
    "an unknown layer": lambda p: replace(p, layers={**p.layers, "z": p.layers["c1"]}),
    "too few channels": lambda p: replace(
        p, tensors={**p.tensors, "r": replace(p.tensors["r"], channel_scale=(1.0, 2.0))}
    ),
    "a scale of 0": lambda p: replace(
        p, tensors={**p.tensors, "r": replace(p.tensors["r"], channel_scale=(0.0,) * 8)}
    ),
    "a zero point off the grid": lambda p: replace(
        p,
        tensors={
            **p.tensors,
            "r": replace(p.tensors["r"], grid=replace(p.tensors["r"].grid, zero_point=300)),
        },
    ),
    "an unknown target": lambda p: replace(p, target="abacus"),
    "weights of 16 bits": lambda p: replace(
        p, layers={**p.layers, "c1": replace(p.layers["c1"], bits=16)}
    ),
    "too few means": lambda p: replace(
        p, layers={**p.layers, "c2": replace(p.layers["c2"], input_mean=(0.0, 1.0))}
    ),
    "an unknown rounding": lambda p: replace(
        p, layers={**p.layers, "c1": replace(p.layers["c1"], rounding="dice")}
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_plan_that_was_edited_beyond_sense_is_a_plan_error(
    edit: str, model: onnx.ModelProto
) -> None:
    with pytest.raises(PlanError):
        apply(model, EDITS[edit](plan(model)))
