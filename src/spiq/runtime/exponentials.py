"""What is to be expected of outputs that an Exp makes: few numbers are all of their power.

An error of delta in front of an Exp makes y = r exp(delta) of r, and the numbers that count, the
largest, are those that synthetic pictures hardly show. With d the root mean square of log(y / r)
there, s the deviation of log r from picture to picture, S and N the signal and the error of all of
an output, S_e and N_e those of what the Exp made, and P_e its power,

    g         =  exp(2 s^2)            how many times as much power it has on real images
    ratio(k)  =  10 log10 (S - S_e + g S_e) / (N - N_e + g max(N_e, (exp(k d) - 1)^2 P_e))

What is said of the output is at most ratio(1), and its lower end ratio(2). Real images move log r
1.4 times as far as synthetic pictures (median; 1.2 to 1.7), and E[r^2] of a log-normal r goes with
exp(2 s^2).

Chosen on 36 small detectors of random weights and true statistics, half of them folded, where log r
deviates by 0.3 to 1.3; 36 others were looked at, too, when k was settled, so that they are a check
and no proof (docs/experiments.md).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spiq.runtime.snr import Energy, decibels
from spiq.stats.exponential import ExpMask

Pair = tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]
"""Float's and the quantized network's output for a batch."""

_EXPECTED, _POOR = 1.0, 2.0
"""k of what is expected, and of what may be."""

_SPREAD_MOST, _OFF_MOST = 2.0, 10.0
"""Deviation of log r, and d, from which on they are not taken at their word."""


def at_most(pairs: Sequence[Pair], made: ExpMask) -> tuple[float, float] | None:
    """Return what can be said of an output at most, and of the lower end of that, in dB.

    Args:
        pairs: Float's and the quantized network's output, batch by batch.
        made: Where an Exp made it.

    Returns:
        None where it does not fit, or what the Exp made is 0.
    """
    if len({array.shape[1:] for pair in pairs for array in pair}) > 1 or made.ndim == 0:
        return None
    r, y = (np.concatenate(side).astype(np.float64) for side in zip(*pairs, strict=True))
    if made.ndim != r.ndim or any(
        n not in (1, own) for n, own in zip(made.shape, r.shape, strict=True)
    ):
        return None
    there = np.broadcast_to(made, r.shape)
    alike = there & (r * y > 0)
    if not alike.any():
        return None

    # d and g
    off = np.log(y[alike] / r[alike])
    d = min(float(np.sqrt(np.square(off).mean())), _OFF_MOST)
    g = float(np.exp(2 * min(_spread(r, there), _SPREAD_MOST) ** 2))

    # S, S_e, N, N_e and P_e
    whole, own = Energy.of(r, y), Energy.of(r[there], y[there])
    mean = whole.total / whole.count
    moved = own.square - 2 * mean * own.total + own.count * mean**2
    signal = whole.square - whole.total * mean + (g - 1) * moved

    def ratio(k: float) -> float:
        lost = max(own.noise, float(np.expm1(k * d)) ** 2 * own.square)
        return decibels(signal, whole.noise - own.noise + g * lost)

    return ratio(_EXPECTED), ratio(_POOR)


def _spread(r: npt.NDArray[np.float64], there: ExpMask) -> float:
    """Return the deviation of log r from picture to picture, each place by itself."""
    logs = np.log(np.abs(np.where(there & (r != 0), r, 1)))
    apart = logs.var(axis=0, ddof=1) if len(r) > 1 else np.zeros(r.shape[1:])
    return float(np.sqrt(apart[there.any(axis=0)].mean()))
