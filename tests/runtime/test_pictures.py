"""Synthetic pictures: of every kind, the same every time, in any shape that an input has."""

import numpy as np
import pytest

from small_networks import build
from spiq.runtime.pictures import KINDS, picture
from spiq.runtime.session import session
from spiq.runtime.synthetic import synthetic_pictures


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
    drawn = synthetic_pictures(session(model.SerializeToString()), number=2, size=48)["x"]
    first = -2 + 4 * picture(2, (3, 48, 48)).transpose(1, 2, 0)
    np.testing.assert_allclose(drawn, first[None], atol=1e-6)
