"""No two neighbouring weights sum up to more than 16 bits take beside activations of 255."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from small_networks import build, run
from spiq.config import Config
from spiq.pipeline import quantize
from spiq.planning.plan.pair_sums import largest_pairs, row_steps, without_overflow
from spiq.targets import TARGETS, Weights

MOST = 128
"""255 times 128 is 32640, below 2^15."""


def neighbours(split: np.ndarray) -> np.ndarray:
    """Return the sums of all neighbours, one after the other: an oracle, by loops."""
    groups, outputs, inputs, taps = split.shape
    row = [split[..., c, k].astype(int) for k in range(taps) for c in range(inputs)]
    step = 1 if inputs % 2 and taps > 1 else 2
    if inputs == outputs == 1 or len(row) == 1:
        return np.zeros((1, groups, outputs))
    return np.array([row[i] + row[i + 1] for i in range(0, len(row) - 1, step)])


def weights_of(model: bytes) -> dict[str, np.ndarray]:
    """Return the integers of convolutions, by name."""
    tensors = onnx.load_from_string(model).graph.initializer
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in tensors}
    return {name: one for name, one in arrays.items() if one.dtype == np.int8 and one.ndim == 4}


SHAPES = [(1, 8, 4, 9), (1, 8, 3, 9), (2, 4, 6, 9), (1, 5, 7, 1), (1, 4, 1, 9), (1, 4, 2, 1)]
EXEMPT = [(6, 1, 1, 9), (1, 4, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES + EXEMPT)
def test_the_largest_pair_is_what_loops_find(shape: tuple[int, ...]) -> None:
    split = np.random.default_rng(0).integers(-127, 128, shape).astype(np.float32)
    assert np.array_equal(largest_pairs(split), np.abs(neighbours(split)).max(axis=0))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_larger_of_two_is_made_smaller_and_nothing_else(shape: tuple[int, ...]) -> None:
    split = np.random.default_rng(1).integers(-127, 128, shape).astype(np.int8)
    made = without_overflow(split)
    assert np.abs(neighbours(split)).max() > MOST == np.abs(neighbours(made)).max()
    assert (np.abs(made.astype(int)) <= np.abs(split.astype(int))).all()
    assert np.array_equal(without_overflow(made), made)


@pytest.mark.parametrize("shape", EXEMPT)
def test_weights_without_neighbours_stay(shape: tuple[int, ...]) -> None:
    split = np.full(shape, 127, np.int8)
    assert np.array_equal(without_overflow(split), split)


def white(cin: int, cout: int, size: int, groups: int = 1) -> onnx.ModelProto:
    """A convolution whose sums are as large as they can be, behind one that hands on its input."""
    weight = np.full((cout, cin // groups, size, size), 0.5, np.float32)
    weight[::2] *= np.random.default_rng(0).uniform(0.9, 1, weight[::2].shape)
    weight[1::2] *= np.random.default_rng(1).choice([-1, 1], weight[1::2].shape)
    body = f"y = Conv<group={groups}>(x, w)"
    return build(body, inputs=f"float[N,{cin},12,12] x", w=weight.astype(np.float32))


@pytest.mark.parametrize("target", ["onnxruntime", "portable"])
@pytest.mark.parametrize(
    "model",
    [
        white(3, 16, 3), white(5, 7, 3), white(16, 16, 1), white(17, 16, 3), white(64, 32, 3),
        white(16, 16, 3, groups=16), white(16, 32, 3, groups=16), white(12, 24, 5, groups=3),
        white(1, 8, 5),
    ],
    ids=lambda model: str(list(model.graph.initializer[0].dims)),
)  # fmt: skip
def test_kernels_are_exact_on_white_pictures(model: onnx.ModelProto, target: str) -> None:
    """On any CPU: one with VNNI has nothing to saturate, and any other must not."""
    result = quantize(model, Config(target=target, input_range=((0.0, 1.0),), timing=False))
    assert not result.report.float_layers
    shape = [2, *(size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim[1:])]
    feed = {"x": np.ones(shape, np.float32)}
    meant, found = (run(result.model, feed, optimize=fused)["y"] for fused in (False, True))
    assert np.abs(meant - found).max() <= 0.01 * np.abs(meant).max()


@pytest.mark.parametrize(
    "target", [name for name, one in TARGETS.items() if one.weights.narrow_sums]
)
def test_no_file_has_neighbours_that_come_to_more(target: str) -> None:
    result = quantize(white(16, 32, 3), Config(target=target, timing=False))
    ((name, weight),) = weights_of(result.model).items()
    assert np.abs(neighbours(weight.reshape(1, *weight.shape[:2], -1))).max() <= MOST, name
    assert np.abs(weight.astype(int)).max() > 63


def test_seven_bits_need_no_wider_steps() -> None:
    narrow = quantize(white(16, 16, 3), Config(weight_bits=7, timing=False))
    (weight,) = weights_of(narrow.model).values()
    assert (np.abs(weight.astype(int)).max(axis=(1, 2, 3)) == 63).all()


def test_the_eighth_bit_is_known_to_be_worth_little_where_all_weights_have_one_sign() -> None:
    split = np.random.default_rng(0).uniform(0.9, 1, (1, 8, 16, 9))
    narrow, wide = Weights(narrow_sums=True), Weights()
    assert np.allclose(row_steps(split, 8, wide) * 127, split.max(axis=(2, 3)))
    ratio = row_steps(split, 8, narrow) / row_steps(split, 7, narrow)
    assert (ratio > 0.9).all() and (ratio < 1).all()
    assert np.array_equal(row_steps(split, 7, narrow), row_steps(split, 7, wide))
