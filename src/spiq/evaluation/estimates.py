"""Measured values with their 95 % intervals.

Shares of images, in percent. Wilson: E. B. Wilson, "Probable inference, the law of succession, and
statistical inference", JASA 1927. With p = k / n:

    (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

All other values: the percentile bootstrap (B. Efron, "Bootstrap methods: another look at the
jackknife", 1979).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Z = 1.959963984540054
"""The normal distribution's quantile that leaves 2.5 % above it."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measured value with its 95 % interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Estimate":
        """In another unit: a share of 1 in percent, say."""
        return Estimate(value=factor * self.value, low=factor * self.low, high=factor * self.high)


def wilson(hits: int, n: int) -> Estimate:
    """The share ``hits / n`` in percent, with Wilson's interval; ``n`` is at least 1."""
    share = hits / n
    center = share + Z**2 / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = ((center + sign * half) / (1 + Z**2 / n) for sign in (-1, 1))
    # At 0 and n hits an end is the share itself; rounding must not put it on the wrong side.
    return Estimate(
        value=100 * share,
        low=100 * max(0.0, min(low, share)),
        high=100 * min(1.0, max(high, share)),
    )


def paired_difference(reference: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> Estimate:
    """Percent right of ``other`` minus that of ``reference``, over the same images, in points.

    The interval is the normal one of the per-image differences (-1, 0, 1). It has no width where
    both are right on the same images.
    """
    differences = other.astype(np.float64) - reference.astype(np.float64)
    mean, n = float(differences.mean()), len(differences)
    half = Z * float(differences.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    return Estimate(value=100 * mean, low=100 * (mean - half), high=100 * (mean + half))


def bootstrapped(value: float, samples: npt.NDArray[np.float64]) -> Estimate:
    """A value with the interval of its bootstrap samples; those that are no number do not count."""
    drawn = samples[np.isfinite(samples)]
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(drawn) else (np.nan, np.nan)
    return Estimate(value=float(value), low=float(low), high=float(high))
