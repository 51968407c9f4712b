"""What pictures tell of a channel's moments, and how far they can be off.

Some pictures of several kinds were shown to the network, and of each channel there are a mean m_i
and a variance v_i for each picture i. Over all pictures,

    m = mean_i m_i,    b = var_i m_i,    v = mean_i v_i + b.

BatchNorm, where it was left in, and real images say something else. With L the logarithm of their
deviation over sqrt(v), it was found on eighteen published networks, by likelihood and checked with
each network left out of the fit (the truth is BatchNorm's, or where it states nothing that of 12 to
128 real images; docs/experiments.md, bench/doubt.py), that

    E[L]    =  -0.12 - 0.09 rel + 0.28 depth^2 + 0.04 flat
    sd[L]   =  exp(-1.68 + 0.16 max(-rel, 0) + 0.28 max(rel, 0) + 0.49 apart + 0.49 flat)  =  tau

    rel     log of v over its mean in the layer: what stands out tends back to the others
    depth   the layer's place, from 0 to 1: what comes late stands for things that no such
            picture shows, so real images move it more
    apart   standard deviation, from kind to kind of picture, of the log of the power about m
    flat    1 where the value does not vary within a picture (behind a global pool)

and that the true mean lies about m by 0.6 b in variance. The variance that is to be expected is

    v exp(2 E[L] + 2 tau^2) + 0.6 b + 0.1 mean_c v_c.

The last term is for channels that no picture moved (rel below -4), of which the formula knows
little: they had a few hundredths to six tenths of their layer's variance. The doubt that is told is
0.7 tau, since the tail of :mod:`spiq.planning.errors.error_model`, found where BatchNorm tells the
deviation, holds some scatter of deviations already. Both numbers are by the SNR of six folded
networks on real images: without them (0 and 1) MobileNetV2, ResNet-20 and FastestDet lose 1.5 to 2
dB, and with half of tau MobileNetV1 for persons loses 8.

Shares of a softmax have tails of their own: one row is sharp, and thousands are flat. How far they
reach pictures tell by the kurtosis, and the doubt told is at least the one that has the tail of the
error model reach as far. (Trained on images, a small vision transformer had 20.1 dB, where the
range was by the variance of the logarithms alone, and has 28.4; CaiT 11.4 and 15.1, DeiT 11.6 and
13.2, PVTv2 16.9 and 17.6 with random weights.)

Where there are real images, too, this is what is known before one looks at them, see
:mod:`spiq.stats.sharpened`.
"""

from dataclasses import dataclass

import numpy as np

from spiq.passes.batchnorm import Moments
from spiq.stats.channel import Array

_SHIFT, _BACK, _DEEP, _FLAT = -0.12, -0.09, 0.28, 0.04
_DOUBT, _BELOW, _ABOVE, _KINDS_APART, _FLAT_DOUBT = -1.68, 0.16, 0.28, 0.49, 0.49
_MEANS_APART, _LEAST, _TOLD = 0.6, 0.1, 0.7

MOST_DOUBT = 0.6
"""Nothing is doubted by more. The few channels that the formula doubts more (dead on all pictures
but one, a hundredth of the layer's power) follow no normal law, and exp(2 tau^2) is for one. Nor is
a tail taken for more of it where images show one: MobileNetV2 has 1.2 dB less with 2."""

_REL, _MOST_APART = (-6.0, 3.0), 3.0
"""What the formulas were fitted on; beyond it they are held."""

KURTOSIS = 5.4
"""Of the distribution that the error model takes (Student's t, 6.5 degrees of freedom)."""

DEAD = 1e-8
"""Share of the layer's variance below which a channel is taken as constant."""


@dataclass(frozen=True)
class Seen:
    """What each picture showed of a tensor's channels.

    Attributes:
        mean: Mean over each picture, shape (pictures, C).
        var: Variance within each picture, shape (pictures, C).
        third, fourth: Third and fourth central moments within each picture, where they were asked
            for.
    """

    mean: Array
    var: Array
    third: Array | None = None
    fourth: Array | None = None

    @property
    def finite(self) -> bool:
        """Whether everything is a finite number."""
        known = (self.mean, self.var, self.third, self.fourth)
        return all(np.isfinite(array).all() for array in known if array is not None)

    def fourth_about(self, mean: Array) -> Array | None:
        """Return E[(x - mean)^4] of each picture, shape (pictures, C); None if it is not known."""
        if self.third is None or self.fourth is None:
            return None
        off = self.mean - mean
        return self.fourth + 4 * off * self.third + 6 * off**2 * self.var + off**4


@dataclass(frozen=True)
class Expected:
    """What is to be expected of a tensor's channels, each of shape (C,).

    Attributes:
        mean: The mean.
        var: The variance, what the mean may be off by included.
        off: That part of it.
        tau: Spread of the logarithm of the deviation; 0 of a channel that is taken as constant.
        between: Variance of the mean from picture to picture.
        varies: Variance of its power from picture to picture, its mean being 1.
        source: Where it comes from, as in :class:`spiq.stats.channel.ChannelStats`.
        tail: The least doubt to be told, for the tail to reach as far as was seen.
    """

    mean: Array
    var: Array
    off: Array
    tau: Array
    between: Array
    varies: Array
    source: str
    tail: Array | float = 0.0

    def moments(self) -> Moments:
        """Return the moments, and the doubt that is told."""
        doubt = np.maximum(_TOLD * self.tau, self.tail)
        return Moments(self.mean, self.var, self.source, doubt)


def expected(seen: Seen, *, kinds: int, depth: float) -> Expected:
    """Return what synthetic pictures say of a tensor's channels.

    Args:
        seen: The pictures, those of the same kind ``kinds`` apart.
        kinds: How many kinds of picture there are.
        depth: Place of the tensor in the network, from 0 to 1.
    """
    mean, between = seen.mean.mean(axis=0), seen.mean.var(axis=0)
    within = seen.var.mean(axis=0)
    power, var = seen.var + np.square(seen.mean - mean), within + between
    whole = max(float(var.mean()), 1e-300)
    rel = np.log(np.maximum(var / whole, 1e-300)).clip(*_REL)
    flat = float(np.median(within) <= 1e-6 * np.median(var))

    shift = _SHIFT + _BACK * rel + _DEEP * depth**2 + _FLAT * flat
    doubt = _DOUBT + _BELOW * np.maximum(-rel, 0) + _ABOVE * np.maximum(rel, 0)
    doubt += _KINDS_APART * _apart(power, whole, kinds) + _FLAT_DOUBT * flat
    doubt = np.minimum(np.exp(doubt), MOST_DOUBT)

    off = _MEANS_APART * between + _LEAST * whole
    likely = var * np.exp(2 * shift + 2 * doubt**2) + off
    live = var > DEAD * whole
    found, tau = np.where(live, likely, var), np.where(live, doubt, 0.0)
    varies = np.square(power / np.maximum(var, DEAD * whole) - 1).mean(axis=0)
    fourth, tail = seen.fourth_about(mean), np.zeros(())
    if fourth is not None:
        kurtosis = fourth.mean(axis=0) / np.square(np.maximum(var, DEAD * whole))
        tail = np.where(live, np.sqrt(beyond(kurtosis)), 0.0)
    return Expected(mean, found, off, tau, between, varies, "synthetic", tail)


def beyond(kurtosis: Array) -> Array:
    """Return the doubt, squared, that has the tail of the error model reach as far as values do.

    A deviation whose logarithm spreads by tau makes the kurtosis exp(4 tau^2) times as large.
    """
    return np.asarray(np.log(np.maximum(kurtosis / KURTOSIS, 1)) / 4)


def _apart(power: Array, whole: float, kinds: int) -> Array:
    """Return how much the log of a channel's power differs from kind to kind of picture."""
    by_kind = np.array([power[kind::kinds].mean(axis=0) for kind in range(kinds)])
    scatter: Array = np.log(by_kind + 1e-12 * whole).std(axis=0)
    return np.minimum(scatter, _MOST_APART)
