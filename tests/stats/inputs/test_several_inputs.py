"""What is said of each of several inputs, by its name."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

import spiq
from small_networks import build
from spiq.cli import main
from spiq.config import Config
from spiq.errors import ConfigError
from spiq.input_values import InputValues
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.stats.inputs.known import input_stats

BODY = "[a] a = Conv(left, w) [b] b = Conv(right, v) [s] s = Add(a, b) [r] y = Relu(s)"
INPUTS = "float[N,3,8,8] left, float[N,1,8,8] right"


def network() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(4, 3, 1, 1)), "v": rng.normal(size=(4, 1, 1, 1))}
    constants = {name: array.astype(np.float32) for name, array in weights.items()}
    return build(BODY, inputs=INPUTS, outputs="y", **constants)


def notes(config: Config) -> list[str]:
    return input_stats(prepare(read(network())), config)[1]


def test_each_input_has_its_own() -> None:
    right = InputValues(input_mean=(127.5,), input_std=(127.5,))
    left = InputValues(input_range=((0, 1), (0, 2), (0, 3)))
    found, said = input_stats(
        prepare(read(network())), Config(inputs={"left": left, "right": right})
    )
    assert said == [
        "input 'left': range 0 to 3, as given",
        "input 'right': range -1 to 1, from the mean and std given, pixels 0..255",
    ]
    assert found["left"].high.reshape(-1).tolist() == [1, 2, 3]


def test_the_rest_has_what_is_said_of_all() -> None:
    config = Config(input_range=((-4, 4),), inputs={"left": InputValues(input_range=((0, 1),))})
    assert [note.split(":")[1] for note in notes(config)] == [
        " range 0 to 1, as given",
        " range -4 to 4, as given",
    ]


def test_refusals() -> None:
    with pytest.raises(
        ConfigError, match="there is no input 'up': the network has 'left', 'right'"
    ):
        notes(Config(inputs={"up": InputValues(input_range=((0, 1),))}))
    with pytest.raises(ConfigError, match="belong together"):
        InputValues(input_mean=(0.5,))
    with pytest.raises(ConfigError, match="give a mapping of names of inputs to InputValues"):
        Config(inputs={"left": ((0, 1),)})  # type: ignore[dict-item]


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(network(), "model.onnx")
    said = ("--input-range=left=0,1", "--input-mean=right=127.5", "--input-std=right=127.5")
    assert main(["quantize", "model.onnx", "--json", "--no-timing", *said]) == 0
    first, second, *_ = json.loads(capsys.readouterr().out)["notes"]
    assert first == "input 'left': range 0 to 1, as given"
    assert second.startswith("input 'right': range -1 to 1, from the mean and std given")
    assert main(["inspect", "model.onnx", "--input-mean=0.5", "--input-mean=0.4"]) == 2
    assert "--input-mean is given 2 times" in capsys.readouterr().err
    assert main(["inspect", "model.onnx", "--input-range=right=1,0"]) == 2
    assert "the low end must be the lesser one" in capsys.readouterr().err


@pytest.mark.end_to_end
def test_the_other_input_is_still_judged() -> None:
    config = Config(inputs={"right": InputValues(input_range=((0, 1),))}, timing=False)
    report = spiq.quantize(network(), config).report
    assert any("input 'left': assumed" in note for note in report.notes)
    assert any("input 'right': range 0 to 1, as given" in note for note in report.notes)
