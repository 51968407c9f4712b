"""One definition of the signal-to-noise ratio: the mean is no signal."""

import numpy as np
import pytest

from spiq.runtime.snr import Energy, decibels, snr_db

SIGNAL = np.array([3.0, 5.0])


def test_ratio_of_spread_to_error() -> None:
    assert snr_db(SIGNAL, SIGNAL) == 200
    assert snr_db(SIGNAL, SIGNAL + np.array([0.1, -0.1])) == pytest.approx(20)
    assert snr_db(SIGNAL, np.full(2, 4.0)) == pytest.approx(0)


@pytest.mark.parametrize("offset", [0.0, 100.0, -1e4])
def test_mean_is_no_signal(offset: float) -> None:
    assert snr_db(SIGNAL + offset, SIGNAL + offset + 0.1) == pytest.approx(20, abs=1e-4)


def test_parts_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    r = rng.standard_normal(100).astype(np.float32)
    y = r + np.float32(0.01) * rng.standard_normal(100).astype(np.float32)
    parts = Energy() + Energy.of(r[:30], y[:30]) + Energy.of(r[30:], y[30:])
    assert parts.db == pytest.approx(snr_db(r, y))


@pytest.mark.parametrize(
    ("expected", "actual", "why"),
    [
        (np.ones(3), np.ones(3), "constant"),
        (np.ones(3), np.zeros(3), "constant"),
        (np.array([1.0, np.inf]), np.array([1.0, 2.0]), "not finite"),
        (np.array([1.0, 2.0]), np.array([1.0, np.nan]), "not finite"),
        (np.ones(0), np.ones(0), "empty"),
    ],
)
def test_what_has_no_ratio_says_why(expected: np.ndarray, actual: np.ndarray, why: str) -> None:
    energy = Energy.of(expected, actual)
    assert why in energy.why_not and np.isnan(energy.db)


def test_the_same_infinity_is_no_difference() -> None:
    r, y = np.array([1.0, -np.inf, 3.0]), np.array([1.1, -np.inf, 3.0])
    assert snr_db(r, y) == pytest.approx(snr_db(r[::2], y[::2]))


def test_equal_answers_are_told_apart() -> None:
    assert Energy.of(SIGNAL, SIGNAL).db_unless_equal is None
    assert Energy.of(SIGNAL, SIGNAL + 1).db_unless_equal == pytest.approx(0)


def test_decibels_end_at_200() -> None:
    assert decibels(1.0, 0.0) == 200 and decibels(0.0, 1.0) == -200
