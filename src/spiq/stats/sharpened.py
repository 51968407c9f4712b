"""What is known of a channel's moments once real images were seen, be they one or a thousand.

Before, there are a mean m0 that may be off by s0 in variance, a variance V0 and the spread tau of
the logarithm of the true deviation (:mod:`spiq.stats.observed`). Image i shows a mean m_i and a
variance v_i. The mean is weighed by precision,

    m = s (m0 / s0 + n mean_i m_i / b),    1 / s = 1 / s0 + n / b,    b = var_i m_i

and image i has the power p_i = v_i + (m_i - m)^2 about it. Powers differ from image to image by cv
times their mean, so that n of them tell the logarithm of the deviation to within cv / (2 sqrt n);
what was known before is worth

    n0 = cv^2 / (4 tau^2)    images,    V = (n0 V0 + sum_i (p_i + s)) / (n0 + n),
    tau' = cv' / (2 sqrt(n0 + n)).

cv' is of the images and, as n0 more of them, of what was known, all about V: where both contradict
each other, or one image alone moved the channel, doubt stays, and where no image moved it, so does
n0 / (n0 + n) of what was expected. A channel of which images show heavier tails than those of
:mod:`spiq.planning.errors.error_model` gets as much doubt more as has the same kurtosis: SqueezeNet
rises from 20.4 to 24.4 dB by it, and four others lie within 0.7 dB. Without images everything is
as it was. b and cv start from what other channels do, worth _PRIOR images.
"""

import numpy as np

from spiq.stats.channel import Array
from spiq.stats.observed import DEAD, Expected, Seen

_PRIOR, _VARIES = 4.0, 1.0
"""Images that the first guess of b and cv is worth, and the cv that is guessed."""

_LEAST_TAU = 0.03
"""Doubt that stays with any number of images: they are not those that will come."""


_KURTOSIS, _MOST_TAU = 5.4, 2.0
"""Of the distribution that the error model takes (Student's t, 6.5 degrees of freedom), and the
largest doubt that it has a table for."""


def sharpened(known: Expected, images: Seen) -> Expected:
    """Return what is known after some images.

    Args:
        known: What was expected before.
        images: What each of them showed.
    """
    count, whole = len(images.mean), max(float(known.var.mean()), 1e-300)
    if not count:
        return known
    mean, off = _mean(known, images, whole)
    power = images.var + np.square(images.mean - mean)
    live = (known.tau > 0) | (power.mean(axis=0) > DEAD * whole)
    tau = np.where(known.tau > 0, known.tau, 1.0)

    varies = _varies(power, power.mean(axis=0), _VARIES**2, 0.0, whole)
    worth = varies / (4 * tau**2)
    var = (worth * known.var + (power + off).sum(axis=0)) / (worth + count)
    apart = worth * np.square(known.var / np.maximum(var, DEAD * whole) - 1)
    varies = _varies(power, var, _VARIES**2, apart, whole)
    doubt = np.sqrt(varies / (4 * (worth + count)))
    doubt = np.maximum(np.minimum(doubt, tau), _LEAST_TAU)
    doubt = np.minimum(np.sqrt(doubt**2 + _beyond(images, mean)), _MOST_TAU)
    return Expected(mean, var, off, np.where(live, doubt, 0.0), known.between, "data")


def _mean(known: Expected, images: Seen, whole: float) -> tuple[Array, Array]:
    """Return the mean, and the variance that it may be off by."""
    count, shown = len(images.mean), images.mean.mean(axis=0)
    spread = _PRIOR * known.between + np.square(images.mean - shown).sum(axis=0)
    between = np.maximum(spread / (_PRIOR + count - 1), DEAD * whole)
    before = np.maximum(known.off, DEAD * whole)
    off = 1 / (1 / before + count / between)
    return off * (known.mean / before + count * shown / between), off


def _beyond(images: Seen, mean: Array) -> Array | float:
    """Return the doubt, squared, that has the tail of the error model reach as far as the images'.

    A deviation whose logarithm spreads by tau makes the kurtosis exp(4 tau^2) times as large.
    """
    kurtosis, count = images.kurtosis(mean), len(images.mean)
    if kurtosis is None:
        return 0.0
    likely = (_PRIOR * _KURTOSIS + count * kurtosis) / (_PRIOR + count)
    return np.asarray(np.log(np.maximum(likely / _KURTOSIS, 1)) / 4)


def _varies(power: Array, centre: Array, guess: float, more: Array | float, whole: float) -> Array:
    """Return cv^2 about ``centre``, of the images, of the guess and of ``more``."""
    away = np.square(power / np.maximum(centre, DEAD * whole) - 1).sum(axis=0)
    return np.asarray((_PRIOR * guess + away + more) / (_PRIOR + len(power)))
