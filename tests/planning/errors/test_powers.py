"""Ranges of powers count deviations of the power, of a tensor whose tail is the error model's."""

import numpy as np
import pytest

from spiq.planning.errors.error_model import FREEDOM
from spiq.planning.errors.powers import power_range
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.rules.activations import Function

WIDTHS = np.array([3.0, 10.0, 25.0])
CENTRE, DEVIATION = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 0.5, 1.5])
T = np.random.default_rng(0).standard_t(FREEDOM, 1_000_000) * np.sqrt((FREEDOM - 2) / FREEDOM)

CASES: dict[str, tuple[Function, ChannelStats]] = {
    "a square": (np.square, stats(CENTRE, DEVIATION**2)),
    "a rectified square": (np.square, stats(np.maximum(CENTRE, 0), DEVIATION**2, low=0.0)),
    "a root of a cube": (lambda x: np.abs(x) ** 1.5, stats(CENTRE, DEVIATION**2)),
}


def ends_of(known: ChannelStats) -> tuple[Array, Array]:
    reach = DEVIATION[:, None] * WIDTHS
    ends = (CENTRE[:, None] - reach, CENTRE[:, None] + reach)
    low, high = (np.clip(end, known.low[:, None], known.high[:, None]) for end in ends)
    return low, high


@pytest.mark.parametrize("name", CASES)
def test_a_range_counts_the_deviations_of_the_power(name: str) -> None:
    function, known = CASES[name]
    low, high = power_range(function, ends_of(known), known, WIDTHS)
    x = np.clip(CENTRE[:, None] + DEVIATION[:, None] * T, known.low[:, None], known.high[:, None])
    values = function(x)
    np.testing.assert_allclose((low + high)[:, 0] / 2, values.mean(axis=1), rtol=0.02)
    np.testing.assert_allclose((high - low)[:, 1] / 20, values.std(axis=1), rtol=0.1)


def test_what_lies_below_is_raised_as_what_lies_above() -> None:
    function, known = CASES["a rectified square"]
    low, high = ends_of(known)
    turned = stats(-known.mean, known.var, -np.inf, 0.0)
    found = power_range(function, (-high, -low), turned, WIDTHS)
    np.testing.assert_allclose(found, power_range(function, (low, high), known, WIDTHS))
