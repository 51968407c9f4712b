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

cv is of the synthetic pictures and of the images, each of them counting once: ten images hardly
ever hold the rare one that moves a channel ten times as much, and where pictures of many kinds
differ, images do, too. cv' is the same about V, with what was known as n0 images more: where both
contradict each other, or one image alone moved the channel, doubt stays, and where no image moved
it, so does n0 / (n0 + n) of what was expected.

That is how well the deviation is known. How far a channel reaches is another matter, and few images
say little of it: behind the pool of a classifier, ten images show ten classes. With

    k_i = E[(x - m)^4 over image i] / V_i^2,    V_i what V would be without image i,

the mean of k_i over the images *and the layer's channels* says how much what comes next goes beyond
what was known before. The channel's kurtosis is taken as that, or as 4.2 (1 + cv^2) by the
synthetic pictures if that is more, until its own images have shown it. If it exceeds that of
:mod:`spiq.planning.errors.error_model`, the channel gets as much doubt more as has the same
kurtosis. What this brings, and what else was tried: docs/experiments.md, "Ten images". Without
images everything is as it was. b starts from what synthetic pictures show, worth _PRIOR images.
"""

import numpy as np

from spiq.stats.channel import Array
from spiq.stats.observed import DEAD, MOST_DOUBT, Expected, Seen, beyond

_PRIOR, _PICTURES, _TELLS = 4.0, 18.0, 30.0
"""Images that are worth the first guess of b, that of cv (the number of pictures that it is from)
and that of a channel's kurtosis. The last, by SNR on five folded networks, is anything from 10 to
30."""

_LEAST_TAU = 0.03
"""Doubt that stays with any number of images: they are not those that will come."""

_WITHIN = 4.2
"""Kurtosis within a picture: over the layers of six networks, the logarithm of the kurtosis on 100
real images is 1.44 + 1.27 log(1 + cv^2) in the mean (1.35 to 1.6 and 0.5 to 1.6 with one left out);
the slope of 1 is what follows if only the power differs."""

_MOST, _LIVE, _LESS = 1e3, 1e-5, 1e-2
"""Largest k_i that counts, share of the layer's power from which on a channel's do, and least V_i
over V."""


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

    worth = _varies(known, power, power.mean(axis=0), 0.0, whole) / (4 * tau**2)
    total = worth * known.var + (power + off).sum(axis=0)
    var = total / (worth + count)
    apart = worth * np.square(known.var / np.maximum(var, DEAD * whole) - 1)
    doubt = np.sqrt(_varies(known, power, var, apart, whole) / (4 * (worth + count)))
    doubt = np.maximum(np.minimum(doubt, tau), _LEAST_TAU)

    without = (total - power - off) / np.maximum(worth + count - 1, 1e-3)
    without = np.maximum(without, _LESS * var + DEAD * whole)
    doubt = np.minimum(np.sqrt(doubt**2 + _beyond(known, images, mean, without)), MOST_DOUBT)
    doubt = np.where(live, doubt, 0.0)
    return Expected(mean, var, off, doubt, known.between, known.varies, "data", known.tail)


def _mean(known: Expected, images: Seen, whole: float) -> tuple[Array, Array]:
    """Return the mean, and the variance that it may be off by."""
    count, shown = len(images.mean), images.mean.mean(axis=0)
    spread = _PRIOR * known.between + np.square(images.mean - shown).sum(axis=0)
    between = np.maximum(spread / (_PRIOR + count - 1), DEAD * whole)
    before = np.maximum(known.off, DEAD * whole)
    off = 1 / (1 / before + count / between)
    return off * (known.mean / before + count * shown / between), off


def _beyond(known: Expected, images: Seen, mean: Array, without: Array) -> Array | float:
    """Return the doubt, squared, that has the tail of the error model reach as far as images do.

    Args:
        known: What was expected before.
        images: What each image showed.
        mean: The mean.
        without: Variance as it would be known without each of the images, shape (images, C).
    """
    fourth, count = images.fourth_about(mean), len(images.mean)
    if fourth is None:
        return 0.0
    power = (images.var + np.square(images.mean - mean)).mean(axis=0)
    shown = np.minimum(fourth / without**2, _MOST)
    layer = shown[:, power >= _LIVE * power.mean()].mean()
    likely = np.maximum(layer, _WITHIN * (1 + known.varies))
    kurtosis = (_TELLS * likely + shown.sum(axis=0)) / (_TELLS + count)
    return beyond(kurtosis)


def _varies(
    known: Expected, power: Array, centre: Array, more: Array | float, whole: float
) -> Array:
    """Return cv^2 about ``centre``, of the pictures, of the images and of ``more``."""
    away = np.square(power / np.maximum(centre, DEAD * whole) - 1).sum(axis=0)
    return np.asarray((_PICTURES * known.varies + away + more) / (_PICTURES + len(power)))
