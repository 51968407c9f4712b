"""Error feedback: the error of a kernel on correlated pixels, against rounding to nearest."""

import numpy as np
import pytest

from spiq.rewriting.rounding import PIXEL_CORRELATION, moment, nearest

KERNELS = [(3, 3), (5, 5), (1, 7)]


def correlation(kernel: tuple[int, ...]) -> np.ndarray:
    places = np.argwhere(np.ones(kernel))
    return PIXEL_CORRELATION ** np.linalg.norm(places[:, None] - places, axis=-1)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("qmax", [7, 127])
def test_feedback_lowers_the_error_that_correlated_pixels_see(
    kernel: tuple[int, ...], qmax: int
) -> None:
    rng = np.random.default_rng(0)
    steps = rng.uniform(-qmax, qmax, (40, 5, int(np.prod(kernel)))).astype(np.float32)
    errors = []
    for rounding in (moment, nearest):
        rounded = rounding(steps, kernel, qmax)
        assert (rounded == np.rint(rounded)).all() and np.abs(rounded).max() <= qmax
        error = rounded - steps
        errors.append(np.einsum("oci,ij,ocj->", error, correlation(kernel), error))
    assert errors[0] < 0.5 * errors[1]


def test_a_kernel_of_one_tap_is_rounded_to_nearest() -> None:
    steps = np.random.default_rng(0).uniform(-9, 9, (4, 6, 1)).astype(np.float32)
    np.testing.assert_array_equal(moment(steps, (1, 1), 7), nearest(steps, (1, 1), 7))


def test_integers_stay() -> None:
    steps = np.random.default_rng(0).integers(-7, 8, (4, 6, 9)).astype(np.float32)
    np.testing.assert_array_equal(moment(steps, (3, 3), 7), steps)
