"""Mean and deviation of an input of no usual convention whose normalization was folded away.

The equations and the distribution of u_o = beta/gamma are those of
:mod:`spiq.stats.inputs.biases`. Where no convention says what m and s are, both are looked for:
log s is expected where the first layer's outputs have a usual deviation (SIZE and its spread),
mu = m/s around 0, and each pair weighs by the density of the biases under it. What is left is a
mean, a deviation and the spread of its logarithm:

    p(s, mu)  ~  N(log s; log(SIZE / median response), SIZE_SPREAD) N(mu; 0, FAR) t(offset)

The sum over all pairs is the likelihood of *some* convention, to be held against that of each usual
one, and of a network that never had a normalization layer, whose biases tell nothing.

Checked on 19 folded networks of known preprocessing, which nothing here was fitted to beyond what
``evidence`` was: found over true deviation 0.5 to 2.8 (and 4.7, ESPNet), median 1.2, at 1.7 of the
spread told at most (2.3). SqueezeNet, which never had normalization, is off by a factor of 300.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt

import numpy as np

from spiq.stats.channel import Array
from spiq.stats.inputs.biases import (
    ANY_TAU,
    SIZE,
    SIZE_SPREAD,
    density_of,
    live_parts,
    taus,
    witness,
)
from spiq.stats.inputs.evidence import SURE, Verdict
from spiq.stats.inputs.first_layers import FirstLayer

FAR = 2.0
"""Deviation of mu: pixels from 0 have 1.7."""

BARE_TABLE = 0.5
"""Share of perceptrons without normalization layers: a judgement."""

UNUSUAL = 0.03
"""Share of pictures of no usual convention: 16 bits, Hounsfield units, decibels. A judgement; of 20
found networks of usual ones, biases speak for another by a log of 2.4 at most, of those three by 5
to 74."""

_SIZES = np.linspace(-3.5, 3.5, 43)
"""Values of log s that are looked at, in SIZE_SPREAD."""

_PLACES = np.linspace(-4, 4, 25)
"""Values of mu that are looked at."""

_EVERY = 2
"""Of the values of log tau, how many to step."""


@dataclass(frozen=True)
class FoldedInput:
    """What the first layer's biases say of an input.

    Attributes:
        mean, std: Of the input.
        spread: Of the logarithm of ``std``.
        likelihood: Logarithm of that of any mean and deviation.
        bare: The same of biases that have nothing to do with the input.
    """

    mean: float
    std: float
    spread: float
    likelihood: float
    bare: float

    def is_sure(self, bare: float) -> bool:
        """Return whether the network surely had normalization, ``bare`` of all having none."""
        return self.likelihood - self.bare + log((1 - bare) / bare) > SURE

    def beats(self, verdict: Verdict) -> bool:
        """Return whether no usual convention explains the biases, and some other one does."""
        usual = np.logaddexp.reduce(verdict.table, axis=1).max()
        return self.likelihood > self.bare + 1 and self.likelihood + log(UNUSUAL) > usual


def with_biases(verdict: Verdict, layers: Sequence[FirstLayer]) -> Verdict:
    """Return the verdict with moments that biases let expect, if no convention fits them."""
    found = folded_input(layers, pictures=True)
    if found is None or not found.beats(verdict):
        return verdict
    return replace(verdict, stated=(found.mean, found.std), spread=found.spread)


def folded_input(layers: Sequence[FirstLayer], *, pictures: bool) -> FoldedInput | None:
    """Return what biases say of an input; None where there are none, or moments are stated.

    Args:
        layers: The equations.
        pictures: Whether channels and neighbours are correlated as in pictures.
    """
    layer = witness(layers)
    if layer is None or not len((parts := live_parts(layer, pictures=pictures))[0]):
        return None
    response, offset, sums = parts
    middle = log(SIZE / float(np.median(response)))
    logs = middle + SIZE_SPREAD * _SIZES

    # log p(s, mu), both priors with a sum of 1
    table = prior(_SIZES, _PLACES)
    for row, s in zip(table, np.exp(logs), strict=True):
        u = (_PLACES[:, None] * s * sums + offset) / (s * response)
        row += density_of(u, *taus(_EVERY), scale=float(s))
    nothing = density_of(offset[None] / response, ANY_TAU, np.zeros(len(ANY_TAU)))
    return _summed(table, logs, float(nothing[0]))


def _summed(table: Array, logs: Array, bare: float) -> FoldedInput:
    """Return the moments of a table of log-likelihoods, shape (sizes, places)."""
    likelihood, share, middle, spread = weighed(table, logs)
    std = exp(middle + 0.5 * spread)  # too wide a range costs less than too narrow a one
    return FoldedInput(std * float(share.sum(axis=0) @ _PLACES), std, spread, likelihood, bare)


def prior(sizes: Array, places: Array) -> Array:
    """Return the logarithms of what sizes and places are before biases are looked at.

    Args:
        sizes: Values of the logarithm of a deviation, in deviations of it, shape (S,).
        places: Values of the mean over the deviation, shape (P,).

    Returns:
        Shape (S, P); what they stand for sums up to 1.
    """
    table = -0.5 * sizes[:, None] ** 2 - 0.5 * (places / FAR) ** 2
    return np.asarray(table - np.logaddexp.reduce(table, axis=None))


def weighed(table: Array, logs: Array) -> tuple[float, Array, float, float]:
    """Return what a table of log-likelihoods comes to.

    Args:
        table: Of sizes and places, shape (S, P).
        logs: Logarithms of the sizes, shape (S,).

    Returns:
        The logarithm of their sum, the share of each, and the mean and deviation of ``logs``.
    """
    whole = float(np.logaddexp.reduce(table, axis=None))
    share = np.exp(table - whole)
    middle = float(share.sum(axis=1) @ logs)
    spread = sqrt(float(share.sum(axis=1) @ (logs - middle) ** 2))
    return whole, share, middle, spread
