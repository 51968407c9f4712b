"""What the float network makes of pictures: of one image where it is made for one."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from small_networks import build, run, whole
from spiq import Config, quantize
from spiq.config import InputValues
from spiq.errors import ModelError
from spiq.runtime.agreement import Agreement
from spiq.runtime.reference import reference

ONE = build(
    "c = Conv(x, w) r = Relu(c) m = Concat<axis=1>(r, map) y = Conv(m, v)",
    inputs="float[N,3,16,16] x", w=(6, 3, 1, 1), v=(4, 7, 1, 1), map=(1, 1, 16, 16),
)  # fmt: skip
"""The batch is open, and a constant beside it is of one image."""


def test_a_network_made_for_one_image_is_shown_one() -> None:
    found = reference(ONE.SerializeToString(), {})
    assert {len(inputs["x"]) for inputs in found.inputs} == {1}
    assert quantize(ONE, Config()).report.snr_db["y"] > 20


def test_a_network_that_runs_is_shown_several() -> None:
    plain = build("y = Conv(x, w)", inputs="float[N,3,16,16] x", w=(6, 3, 1, 1))
    found = reference(plain.SerializeToString(), {})
    assert {len(inputs["x"]) for inputs in found.inputs} == {8}


def test_what_may_be_of_another_range_is_shown_the_same_pictures_there() -> None:
    """An input of which 0 to 1 was likelier: 43 dB (39 to 47) were said for 31."""
    plain = build("y = Conv(x, w)", inputs="float[N,3,16,16] x", w=(6, 3, 1, 1))
    likely, wide = (np.array(0.0), np.array(1.0)), (np.array(-2.0), np.array(2.0))
    found = reference(plain.SerializeToString(), {"x": likely}, rivals={"x": wide})
    assert found.rivals is not None
    for one, other in zip(found.inputs, found.rivals.inputs, strict=True):
        np.testing.assert_allclose(other["x"], 4 * one["x"] - 2, atol=1e-6)

    def clipped(outputs: dict[str, np.ndarray], at: float) -> dict[str, np.ndarray]:
        return {"y": outputs["y"] + 0.01 + np.clip(outputs["y"], -at, at) - outputs["y"]}

    most = max(float(np.abs(outputs["y"]).max()) for outputs in found.outputs)
    actual = [clipped(outputs, most) for outputs in (*found.outputs, *found.rivals.outputs)]
    sure = replace(found, rivals=None).estimates(actual[: len(found.inputs)])["y"]
    other = found.rivals.estimates(actual[len(found.inputs) :])["y"]
    doubted = found.estimates(actual)["y"]
    assert isinstance(sure, Agreement) and isinstance(other, Agreement)
    assert other.low < sure.low
    assert doubted == replace(sure, low=other.low)


def test_what_does_not_run_at_all_says_so_of_several() -> None:
    model = build("r = Reshape(x, to) y = Conv(r, w)", inputs="float[N,3,16,16] x",
                  w=(6, 3, 1, 1), to=whole(1, 5, 16, 16))  # fmt: skip
    with pytest.raises(ModelError, match=r"'x' \[8, 3, 16, 16\]"):
        reference(model.SerializeToString(), {})


def of_a_frequency() -> onnx.ModelProto:
    """A network that takes the logarithm of a single number beside pictures."""
    return build("c = Conv(x, w) s = Relu(c) l = Log(low) a = Add(s, l) y = Conv(a, v)",
                 inputs="float[N,3,16,16] x, float low",
                 w=(6, 3, 1, 1), v=(4, 6, 1, 1))  # fmt: skip


def test_single_numbers_of_which_nothing_is_said_are_positive() -> None:
    made = quantize(of_a_frequency(), Config(timing=False))
    assert any("'low'" in note and "nothing tells" in note for note in made.report.notes)


def test_single_numbers_are_those_given() -> None:
    given = {"low": InputValues(input_range=((1000.0, 1001.0),))}
    made = quantize(of_a_frequency(), Config(timing=False, inputs=given))
    assert not any("'low'" in note for note in made.report.notes)
    shape = (8, 3, 16, 16)
    feed = {"x": np.random.default_rng(0).standard_normal(shape, np.float32),
            "low": np.array(1000, np.float32)}  # fmt: skip
    y, q = run(of_a_frequency(), feed)["y"], run(made.model, feed)["y"]
    assert np.abs(y - q).max() < 0.1 * np.abs(y).max()
