"""Synthetic pictures: of every kind, the same every time, in any shape that an input has."""

import numpy as np
import pytest

from small_networks import build
from spiq.runtime.pictures import KINDS, SOFT_KINDS, picture, soft_picture
from spiq.runtime.session import session
from spiq.runtime.synthetic import soft_pictures, synthetic_pictures


@pytest.mark.parametrize("number", range(len(KINDS)), ids=lambda n: KINDS[n].__name__.strip("_"))
@pytest.mark.parametrize("shape", [(3, 40, 56), (1, 9, 64), (4, 8, 8)], ids=str)
def test_pictures_fill_their_shape(number: int, shape: tuple[int, int, int]) -> None:
    drawn = picture(number, shape)
    assert drawn.shape == shape and drawn.dtype == np.float32
    assert drawn.min() >= 0 and drawn.max() <= 1 and drawn.std() > 0.01
    np.testing.assert_array_equal(drawn, picture(number, shape))


def test_kinds_take_turns_and_no_picture_comes_twice() -> None:
    many = [picture(number, (3, 24, 24)) for number in range(3 * len(KINDS))]
    assert len({drawn.tobytes() for drawn in many}) == len(many)


def test_an_input_with_channels_last_gets_pictures() -> None:
    body = "t = Transpose<perm=[0,3,1,2]>(x) y = Conv(t, w)"
    model = build(body, inputs="float[N,H,W,3] x", w=(4, 3, 3, 3))
    drawn = synthetic_pictures(session(model.SerializeToString()), number=2, size=(48, 48))["x"]
    first = -2 + 4 * picture(2, (3, 48, 48)).transpose(1, 2, 0)
    np.testing.assert_allclose(drawn, first[None], atol=1e-6)


@pytest.mark.parametrize("number", range(len(SOFT_KINDS)))
@pytest.mark.parametrize("shape", [(3, 40, 56), (1, 9, 64), (2, 8, 1400), (1, 700, 800)], ids=str)
def test_soft_pictures_fill_their_shape(number: int, shape: tuple[int, int, int]) -> None:
    drawn = soft_picture(number, shape)
    assert drawn.shape == shape and drawn.dtype == np.float32
    assert drawn.min() >= 0 and drawn.max() <= 1 and drawn.std() > 0.01
    np.testing.assert_array_equal(drawn, soft_picture(number, shape))


def test_soft_pictures_are_smoother_than_those_that_ranges_are_chosen_by() -> None:
    shape = (1, 64, 64)

    def steps(drawn: np.ndarray) -> float:
        return float(np.abs(np.diff(drawn)).mean() / drawn.std())

    soft, sharp = (np.mean([steps(draw(n, shape)) for n in range(36)])
                   for draw in (soft_picture, picture))  # fmt: skip
    assert soft < sharp


def test_batches_of_soft_pictures_are_all_different() -> None:
    model = build("y = Conv(x, w)", inputs="float[N,3,H,W] x", w=(4, 3, 3, 3))
    opened = session(model.SerializeToString())
    batches = [soft_pictures(opened, number=number)["x"] for number in range(len(SOFT_KINDS))]
    assert len({one.tobytes() for batch in batches for one in batch}) == 4 * len(batches[0])


def test_a_picture_without_a_batch_is_drawn_too() -> None:
    model = build("[y] y = Relu(x)", inputs="float[3,32,h] x", outputs="float[3,32,h] y")
    opened = session(model.SerializeToString())
    ranges = {"x": (np.zeros((3, 1, 1)), np.full((3, 1, 1), 4.0))}
    drawn = synthetic_pictures(opened, ranges, number=0, size=(48, 40))["x"]
    assert drawn.shape == (3, 32, 40) and drawn.min() >= 0 and drawn.max() > 1
    rough = float(np.abs(np.diff(drawn, axis=2)).mean() / drawn.std())
    assert rough < 0.8  # of noise: 1.13


def test_films_move_and_what_is_no_picture_has_the_moments_of_its_range() -> None:
    model = build(
        "[y] y = Identity(x) [z] z = Identity(v)",
        inputs="float[1,3,4,16,16] x, float[500,2] v", outputs="float y, float z",
    )  # fmt: skip
    opened = session(model.SerializeToString())
    ends = {
        "x": (np.array(0.0), np.array(255.0)),
        "v": (np.array([[0, 5.0]]), np.array([[1, 5.5]])),
    }
    shown = synthetic_pictures(opened, ends, number=0)
    film = shown["x"]
    assert film.max() > 100
    np.testing.assert_array_equal(film[:, :, 1, :, 2:], film[:, :, 0, :, :-2])
    np.testing.assert_allclose(shown["v"].mean(axis=0), [0.45, 5.225], atol=0.05)
    np.testing.assert_allclose(shown["v"].std(axis=0), [0.27, 0.135], rtol=0.1)


@pytest.mark.parametrize(
    ("inputs", "shape"),
    [("float[N,T,3,H,W] x", (16, 3, 24, 40)), ("float[N,3,T,H,W] x", (3, 16, 24, 40))],
)
def test_frames_and_slices_are_few_where_their_number_is_open(
    inputs: str, shape: tuple[int, ...]
) -> None:
    """They were as many as a picture has rows: 320, of which a film took gigabytes."""
    model = build("y = Relu(x)", inputs=inputs)
    drawn = synthetic_pictures(session(model.SerializeToString()), number=0, size=(24, 40))["x"]
    assert drawn.shape[1:] == shape


def test_films_have_their_frames_first_or_their_channels() -> None:
    model = build("[y] y = Identity(x)", inputs="float[1,4,3,16,16] x", outputs="float y")
    film = synthetic_pictures(session(model.SerializeToString()), number=0)["x"]
    np.testing.assert_array_equal(film[:, 1, :, :, 2:], film[:, 0, :, :, :-2])
    assert not np.array_equal(film[:, 0, 1, :, 2:], film[:, 0, 0, :, :-2])
