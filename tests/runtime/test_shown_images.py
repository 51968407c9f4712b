"""A few images of the user's: how the network gets them, and what they bring."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import spiq
from small_networks import build, run
from spiq.config import Config
from spiq.errors import ConfigError
from spiq.io.images import listed
from spiq.io.read import read
from spiq.runtime.images import Shown, shown

RANGE = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))


def chequered(count: int, seed: int = 0, size: int = 16) -> np.ndarray:
    """Draw chequered pictures of some contrast, as no synthetic picture is."""
    rng = np.random.default_rng(seed)
    contrast = (
        rng.gamma(4, 15, (count, size // 4, size // 4, 1)).repeat(4, axis=1).repeat(4, axis=2)
    )
    board = np.indices((size, size)).sum(axis=0) % 2 * 2 - 1
    light = rng.uniform(90, 160, (count, 1, 1, 3))
    return np.clip(light + contrast * board[..., None], 0, 255).astype(np.uint8)


def stored(path: Path, array: np.ndarray) -> str:
    np.savez(path, images=array)
    return str(path)


def network(size: int = 16) -> onnx.ModelProto:
    """Build a network of which half the channels see chequers alone, much enlarged."""
    rng = np.random.default_rng(3)
    weight = 0.1 * rng.standard_normal((8, 3, 3, 3))
    weight[:4] = 10 * rng.uniform(0.5, 1.5, (4, 3, 1, 1)) * [[1, -1, 0], [-1, 1, 0], [0] * 3]
    body = "a = Conv(x, w) r = Relu(a) b = Conv(r, v) s = Relu(b) y = Conv(s, u)"
    shapes = {"v": (8, 8, 1, 1), "u": (4, 8, 1, 1)}
    inputs = f"float[N,3,{size},{size}] x"
    return build(body, inputs=inputs, w=weight.astype(np.float32), **shapes)


def snr(model: onnx.ModelProto, quantized: bytes, pixels: np.ndarray) -> float:
    feed = {"x": np.float32(pixels.transpose(0, 3, 1, 2) / 127.5 - 1)}
    true, found = run(model, feed)["y"], run(quantized, feed)["y"]
    return float(10 * np.log10(true.var() / np.square(true - found).mean()))


def test_images_help_where_synthetic_pictures_move_nothing(tmp_path: Path) -> None:
    model, range_given = network(48), ((-1, 1),)
    few = stored(tmp_path / "a.npz", chequered(10, size=48))
    without = spiq.quantize(model, Config(input_range=range_given))
    with_few = spiq.quantize(model, Config(input_range=range_given, images=few))
    others = chequered(16, seed=9, size=48)
    assert snr(model, with_few.model, others) > snr(model, without.model, others) + 5
    assert snr(model, with_few.model, others) > 28
    assert any("10 images of" in note for note in with_few.report.notes)
    for made, said in ((without, False), (with_few, True)):
        assert said == any("synthetic images and yours" in note for note in made.report.notes)


@pytest.mark.parametrize("as_fed", [False, True])
def test_a_plan_made_with_images_is_followed_with_them(tmp_path: Path, as_fed: bool) -> None:
    """What is known of tensors decides how few bits are rounded, too: without them it differs.

    Floats tell the range themselves, here the same of each colour.
    """
    pixels = chequered(10, size=48)
    pixels[0, 0, 0], pixels[0, 0, 1] = 0, 255
    floats = np.float32(pixels.transpose(0, 3, 1, 2) / 127.5 - 1)
    model, few = network(48), stored(tmp_path / "a.npz", floats if as_fed else pixels)
    given = {} if as_fed else {"input_range": ((-1, 1),)}
    config = Config(images=few, input_order="BGR", weight_bits=4, timing=False, **given)
    made = spiq.quantize(model, config)
    followed = spiq.apply(model, made.plan, images=few, input_order="BGR")
    assert followed.model == made.model
    assert spiq.apply(model, made.plan).model != made.model


def taken(model: onnx.ModelProto, images: str, order: str = "RGB", size: int = 32) -> Shown:
    return shown(listed(Path(images)), read(model).graph, order=order, size=(size, size))


def test_pixels_fill_the_range_of_the_input(tmp_path: Path) -> None:
    pixels = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(1, 16, 16, 3)
    path = stored(tmp_path / "a.npz", pixels)
    result = spiq.inspect(network(), Config(input_range=RANGE, images=path))
    assert result.layers[0].statistics == "input"
    images = taken(network(), path, order="BGR")
    array = next(iter(images.arrays()))
    np.testing.assert_allclose(array[0, 2], pixels[0, ..., 0] / 255 * 4 - 2, atol=1e-5)


def test_floats_tell_the_range(tmp_path: Path) -> None:
    floats = np.float32(chequered(4).transpose(0, 3, 1, 2) / 255 * 30 - 10)
    path = stored(tmp_path / "a.npz", floats)
    plan = spiq.plan(network(), Config(images=path))
    assert any("range -10.6 to 20.6, that of the 4 images" in note for note in plan.notes)
    doubted = spiq.plan(network(), Config(images=path, input_range=((0, 1),)))
    assert any("outside the range of input 'x'" in note for note in doubted.notes)


@pytest.mark.parametrize("inputs", ["float[N,16,16,3] x", "uint8[N,3,16,16] x"])
def test_other_inputs(tmp_path: Path, inputs: str) -> None:
    first = "t = Transpose<perm=[0,3,1,2]>(x)" if "3]" in inputs else "t = Cast<to=1>(x)"
    body = f"{first} a = Conv(t, w) r = Relu(a) b = Conv(r, v) s = Relu(b) y = Conv(s, u)"
    shapes = {"w": (8, 3, 3, 3), "v": (8, 8, 1, 1), "u": (4, 8, 1, 1)}
    config = Config(input_range=((0, 255),), images=stored(tmp_path / "a.npz", chequered(3)))
    report = spiq.quantize(build(body, inputs=inputs, **shapes), config).report
    assert report.snr_db["y"] > 20


@pytest.mark.parametrize("as_fed", [False, True])
def test_inputs_in_half_precision(tmp_path: Path, as_fed: bool) -> None:
    rng = np.random.default_rng(0)
    shapes = {"w": (8, 3, 3, 3), "v": (8, 8, 1, 1), "u": (4, 8, 1, 1)}
    weights = {n: (0.3 * rng.standard_normal(s)).astype(np.float16) for n, s in shapes.items()}
    body = "a = Conv(x, w) r = Relu(a) b = Conv(r, v) s = Relu(b) y = Conv(s, u)"
    half = "float16[N,3,16,16] x"
    model = build(body, inputs=half, outputs="float16[N,4,14,14] y", **weights)
    pixels = chequered(3)
    floats = np.float32(pixels.transpose(0, 3, 1, 2) / 255)
    path = stored(tmp_path / "a.npz", floats if as_fed else pixels)
    report = spiq.quantize(model, Config(input_range=((0, 1),), images=path)).report
    assert report.snr_db["y"] > 20
    assert any("3 images of" in note for note in report.notes)


def test_dynamic_sizes_take_images_of_any(tmp_path: Path) -> None:
    model = build("a = Conv(x, w) y = Relu(a)", inputs="float[N,3,H,W] x", w=(8, 3, 3, 3))
    pytest.importorskip("PIL")
    images = taken(model, stored(tmp_path / "a.npz", chequered(2)), size=24)
    assert next(iter(images.arrays())).shape == (1, 3, 24, 24)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 16, 16, 1), np.uint8), "[1, 16, 16] do not fit input 'x'"),
        (np.zeros((2, 3, 8, 8), np.float32), "[3, 8, 8] do not fit input 'x'"),
        (np.zeros((2, 7), np.float32), "[7] do not fit input 'x'"),
    ],
)
def test_images_of_another_form(tmp_path: Path, array: np.ndarray, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spiq.plan(network(), Config(images=stored(tmp_path / "a.npz", array)))
    assert words in str(caught.value)


def test_vectors_take_floats_alone(tmp_path: Path) -> None:
    model = build("a = Gemm(x, w) y = Relu(a)", inputs="float[N,8] x", w=(8, 4))
    path = stored(tmp_path / "a.npz", chequered(2))
    with pytest.raises(ConfigError, match="no input that takes pictures"):
        spiq.plan(model, Config(images=path))
    rows = np.random.default_rng(0).uniform(-3, 5, (20, 8)).astype(np.float32)
    plan = spiq.plan(model, Config(images=stored(tmp_path / "b.npz", rows)))
    assert any("that of the 20 images" in note for note in plan.notes)
