"""Networks that take pixels: the same answers from bytes, and what cannot be is one line."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from small_mobilenet import card_path, model_path
from small_networks import bn, build, norm, run, trained
from spiq import Config, InputValues, evaluate, quantize
from spiq.cli import main
from spiq.errors import ConfigError
from spiq.evaluation.cards.read import read as read_card
from spiq.evaluation.data.preprocess import input_range, to_input, to_pixels
from spiq.pixels import with_pixels
from spiq.runtime.pictures import picture
from spiq.runtime.snr import snr_db

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
IMAGENET = Config(input_mean=MEAN, input_std=STD, timing=False)
UNIT = Config(input_range=((0, 1),), timing=False)


def network(pads: int, low: float = -2.118, high: float = 2.64) -> onnx.ModelProto:
    body = (
        f"[c] c = Conv<pads=[{pads},{pads},{pads},{pads}]>(x, w) {bn('c', 'n')}"
        "[r] r = Relu(n) [o] y = Conv(r, v)"
    )
    made = build(body, w=(16, 3, 3, 3), v=(8, 16, 1, 1), **norm("n", 16))
    return trained(made, low=low, high=high)


def pixels(count: int = 4) -> np.ndarray:
    drawn = np.stack([picture(number, (3, 16, 16)) for number in range(count)])
    return np.rint(255 * drawn).astype(np.uint8)


def floats(image: np.ndarray, config: Config) -> np.ndarray:
    if config.input_range is not None:
        return (image / 255).astype(np.float32)
    mean, std = (np.array(one, np.float32).reshape(3, 1, 1) for one in (MEAN, STD))
    return ((image - mean) / std).astype(np.float32)


CASES = [
    pytest.param(0, IMAGENET, True, id="mean and std, no padding"),
    pytest.param(1, IMAGENET, False, id="mean and std, padding"),
    pytest.param(1, UNIT, True, id="0 to 1, padding"),
]


@pytest.mark.parametrize(("pads", "config", "folds"), CASES)
def test_the_same_answers_from_bytes(pads: int, config: Config, folds: bool) -> None:
    model, image = network(pads), pixels()
    result = quantize(*with_pixels(model, config))
    proto = onnx.load_from_string(result.model)
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    wanted = run(model, {"x": floats(image, config)})["y"]
    assert snr_db(wanted, run(result.model, {"x": image})["y"]) > 25
    operators = {node.op_type for node in proto.graph.node}
    assert ("Cast" in operators) != folds  # then the first layer reads the bytes


def test_the_model_and_other_options_stay_as_they_are() -> None:
    model = network(0)
    before = model.SerializeToString()
    _, left = with_pixels(model, Config(input_range=((0, 1),), weight_bits=6))
    assert model.SerializeToString() == before
    assert left == Config(weight_bits=6)


def test_values_of_one_input_by_name() -> None:
    given = Config(inputs={"x": InputValues(input_range=((0, 1),))}, timing=False)
    _, left = with_pixels(network(0), given)
    assert not left.inputs


def test_what_pixels_become_has_to_be_said() -> None:
    with pytest.raises(ConfigError, match="say what the pixels of 'x' become"):
        with_pixels(network(0), Config())


def test_an_input_of_bytes_already() -> None:
    made, _ = with_pixels(network(0), UNIT)
    with pytest.raises(ConfigError, match="no input that takes pictures as floats"):
        with_pixels(made, UNIT)


def test_another_operator_beside_the_first_layer_gets_floats() -> None:
    body = "[c] c = Conv(x, w) [s] s = Sigmoid(x) [d] d = Conv(s, v) [a] y = Add(c, d)"
    model = build(body, w=(8, 3, 1, 1), v=(8, 3, 1, 1))
    result = quantize(*with_pixels(model, UNIT))
    image = pixels()
    wanted = run(model, {"x": floats(image, UNIT)})["y"]
    assert snr_db(wanted, run(result.model, {"x": image})["y"]) > 25


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(network(0), tmp_path / "net.onnx")
    command = ["quantize", str(tmp_path / "net.onnx"), "--uint8-input", "--no-timing"]
    assert main([*command, "--input-range", "0,1"]) == 0
    made = onnx.load(tmp_path / "net.int8.onnx")
    assert made.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    capsys.readouterr()

    assert main([*command, "--force"]) == 2
    assert "--input-mean" in capsys.readouterr().err
    assert main([*command, "--force", "--input-range=0,1", "--save-plan", "p.json"]) == 2
    assert "leave out --plan and --save-plan" in capsys.readouterr().err


def test_evaluation_gives_it_the_pixels() -> None:
    """The shipped network, on the shipped images: as right as with floats."""
    card = read_card(card_path())
    config = Config(input_range=input_range(card.input), timing=False)
    plain = quantize(model_path(), config)
    ours = quantize(*with_pixels(model_path(), config))
    result = evaluate([model_path(), plain.model, ours.model], card_path(), limit=60)
    first, floats_in, bytes_in = (score.top1.value for score in result.models)
    assert abs(bytes_in - first) < 5 and abs(floats_in - bytes_in) < 5


def test_pixels_are_what_numbers_were_made_of() -> None:
    spec = read_card(card_path()).input
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8)
    np.testing.assert_array_equal(
        to_pixels(to_input(image, spec), spec), image.transpose(0, 3, 1, 2)
    )
