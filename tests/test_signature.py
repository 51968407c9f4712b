"""A quantized file says by which plan it was made, as far as that holds for another target."""

from dataclasses import replace

import onnx
import pytest

import spiq
from small_mobilenet import model_path
from spiq.errors import PlanError
from spiq.io.metadata import metadata
from spiq.planning.plan.values import Plan
from spiq.signature import is_of, plan_of


@pytest.fixture(scope="module")
def made() -> spiq.Quantized:
    config = spiq.Config(weight_bits=6, exclude=("/stem/conv/Conv",), timing=False)
    return spiq.quantize(model_path(), config)


def test_all_of_a_plan_but_its_tensors(made: spiq.Quantized) -> None:
    assert plan_of(made.model) == replace(made.plan, tensors={})


def test_tensors_with_bits_of_their_own_are_among_it(made: spiq.Quantized) -> None:
    """They share grids with others, which are not."""
    name, entry = next(
        (name, entry) for name, entry in made.plan.tensors.items() if entry.scale_of is not None
    )
    edited = made.plan.tensors | {name: replace(entry, bits=6)}
    result = spiq.apply(model_path(), replace(made.plan, tensors=edited))
    said = plan_of(result.model)
    assert said is not None
    assert {name: entry.bits for name, entry in said.tensors.items()} == {name: 6}


def test_a_file_is_of_its_plan_alone(made: spiq.Quantized) -> None:
    said = metadata(made.model)
    assert is_of(said, made.plan)
    assert not is_of(said, replace(made.plan, weight_bits=7))
    assert not is_of({}, made.plan)


def test_files_of_others_carry_no_plan() -> None:
    assert plan_of(model_path()) is None
    assert plan_of(b"no model") is None


def with_plan(made: spiq.Quantized, text: str | None) -> bytes:
    model = onnx.load_from_string(made.model)
    entry = next(entry for entry in model.metadata_props if entry.key == "spiq.plan")
    if text is None:
        model.metadata_props.remove(entry)
    else:
        entry.value = text
    return bytes(model.SerializeToString())


DAMAGED = {
    "none": (None, "line 1, column 1"),
    "cut short": ('{"format": 3', "line 1"),
    "nested": ("[" * 100_000, "nested without end"),
    "escapes": ('{"model_hash": "\x1b[31m\n"}', "line 1"),
    "newer": ('{"model_hash": "", "format": 99, "version": "9"}', "this spiq reads format"),
    "a slip": ('{"model_hash": "", "format": 3, "layer": {}}', "unknown entry 'layer'"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_told_in_a_line(kind: str, made: spiq.Quantized) -> None:
    text, words = DAMAGED[kind]
    with pytest.raises(PlanError, match="give the float network and its plan") as caught:
        plan_of(with_plan(made, text))
    assert words in str(caught.value) and str(caught.value).isprintable()


def test_a_plan_of_spiq_is_read_whatever_its_form(made: spiq.Quantized) -> None:
    assert plan_of(with_plan(made, made.plan.to_json())) == Plan.from_json(made.plan.to_json())
