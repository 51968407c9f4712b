"""What is expected of a channel that some pictures showed."""

import numpy as np
import pytest

from spiq.passes.batchnorm import Moments
from spiq.stats.observed import KURTOSIS, Seen
from spiq.stats.observed import expected as told_by

PICTURES, CHANNELS, KINDS = 18, 8, 9


def seen(scale: np.ndarray | float = 1.0, between: float = 0.1) -> Seen:
    rng = np.random.default_rng(0)
    means = np.sqrt(between) * rng.standard_normal((PICTURES, CHANNELS)) * np.sqrt(scale)
    return Seen(means, np.ones((PICTURES, CHANNELS)) * scale)


def expected(told: Seen, depth: float = 0.5) -> Moments:
    return told_by(told, kinds=KINDS, depth=depth).moments()


def test_moments_scale_with_the_values() -> None:
    once, tenfold = expected(seen()), expected(Seen(10 * seen().mean, 100 * seen().var))
    np.testing.assert_allclose(tenfold.var, 100 * once.var)
    np.testing.assert_allclose(tenfold.mean, 10 * once.mean)
    np.testing.assert_allclose(tenfold.doubt, once.doubt)


def test_channels_that_stand_out_tend_back_and_are_doubted_more() -> None:
    scale = np.ones(CHANNELS)
    scale[0] = 0.01
    found = expected(seen(scale))
    assert found.var[0] / found.var[1] > 1.2 * 0.01
    assert found.doubt[0] > 1.2 * found.doubt[1]


def test_what_only_one_kind_of_picture_moves_is_doubted_more() -> None:
    told = seen()
    var = told.var.copy()
    var[1::KINDS, 0] *= 30
    found = expected(Seen(told.mean, var))
    assert found.doubt[0] > found.doubt[1:].max()


def test_late_tensors_are_expected_to_vary_more() -> None:
    assert (expected(seen(), depth=1.0).var > 1.2 * expected(seen(), depth=0.2).var).all()


def test_pooled_values_are_doubted_more() -> None:
    told = seen(between=1.0)
    pooled = Seen(told.mean, np.zeros_like(told.var))
    assert expected(pooled).doubt.min() > expected(told).doubt.mean()


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_what_never_changes_is_known(value: float) -> None:
    told = seen()
    mean, var = told.mean.copy(), told.var.copy()
    mean[:, 0], var[:, 0] = value, 0
    found = expected(Seen(mean, var))
    assert found.mean[0] == value and found.var[0] == 0 and found.doubt[0] == 0  # type: ignore[index]


def test_a_tail_that_was_seen_is_told_as_doubt() -> None:
    """By so much that the error model's kurtosis, times exp(4 tau^2), is the one that was seen."""
    told, kurtosis = seen(between=0.0), np.full((PICTURES, CHANNELS), 3.0)
    kurtosis[:, 0] = 200.0
    found = expected(Seen(told.mean, told.var, np.zeros_like(kurtosis), kurtosis))
    assert found.doubt[0] == pytest.approx(np.sqrt(np.log(200 / KURTOSIS) / 4))
    np.testing.assert_allclose(found.doubt[1:], expected(told).doubt[1:])
