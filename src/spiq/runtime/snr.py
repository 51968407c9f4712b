"""The signal-to-noise ratio of an answer y against what it should be, r.

Over all their values,

    SNR = 10 log10(sum (r - mean r)^2 / sum (r - y)^2)

in dB. The mean carries no information, and a large one would hide any error. Where both are
the same infinity, as scores that a mask rules out, there is nothing to compare.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LIMIT_DB = 200.0
"""What is said of answers that are equal."""


@dataclass(frozen=True)
class Energy:
    """Sums over values of a reference and of what differs from it; they add up over batches.

    Attributes:
        count: How many values.
        total: Sum of the reference.
        square: Sum of its squares.
        noise: Sum of the squared differences.
        low: Least value of the reference.
        high: Greatest value of the reference.
    """

    count: int = 0
    total: float = 0.0
    square: float = 0.0
    noise: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def of(cls, expected: npt.NDArray[np.generic], actual: npt.NDArray[np.generic]) -> "Energy":
        """Take the sums of a pair of arrays of one shape.

        >>> round(Energy.of(np.array([3.0, 5.0]), np.array([3.0, 5.1])).db, 1)
        23.0
        """
        if expected.dtype.kind == "f" and np.isinf(expected).any():
            differ = ~(np.isinf(expected) & (expected == actual))
            expected, actual = expected[differ], actual[differ]
        if not expected.size:
            return cls()
        with np.errstate(invalid="ignore", over="ignore"):  # told by why_not
            return cls(
                expected.size,
                float(expected.sum(dtype=np.float64)),
                float(np.square(expected, dtype=np.float64).sum()),
                float(np.square(np.subtract(expected, actual, dtype=np.float64)).sum()),
                float(expected.min()),
                float(expected.max()),
            )

    def __add__(self, more: "Energy") -> "Energy":
        """Return the sums over both."""
        return Energy(
            self.count + more.count,
            self.total + more.total,
            self.square + more.square,
            self.noise + more.noise,
            min(self.low, more.low),
            max(self.high, more.high),
        )

    @property
    def why_not(self) -> str:
        """Why there is no ratio; empty where there is one."""
        if not self.count:
            return "it is empty"
        if not np.isfinite(self.square + self.noise):
            return "it is not finite"
        return "it is constant" if self.low == self.high else ""

    @property
    def db(self) -> float:
        """The ratio in dB, at most 200; NaN where there is none, see :attr:`why_not`."""
        if self.why_not:
            return float("nan")
        return decibels(self.signal, self.noise)

    @property
    def signal(self) -> float:
        """Sum of the squares of the reference less its mean."""
        return self.square - self.total**2 / self.count

    @property
    def db_unless_equal(self) -> float | None:
        """The ratio in dB; None where the answers are equal bit by bit."""
        return None if self.noise == 0 else self.db


def snr_db(expected: npt.NDArray[np.generic], actual: npt.NDArray[np.generic]) -> float:
    """Return the ratio of two arrays in dB; NaN where there is none."""
    return Energy.of(expected, actual).db


def decibels(signal: float, noise: float) -> float:
    """Return a ratio of sums of squares in dB, within 200 of 0."""
    if noise <= signal * 10 ** (-LIMIT_DB / 10):
        return LIMIT_DB
    return max(-LIMIT_DB, 10 * float(np.log10(max(signal, 1e-300) / noise)))
