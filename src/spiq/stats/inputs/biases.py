"""What biases say of the input's convention, where normalization was folded into the layers.

Folding leaves y_o = gamma_o z_o + beta_o, with beta_o the mean that W x + B has. So

    u_o  =  (m sums_o + offset_o) / (s response_o)  =  beta_o / gamma_o

is of the order of 1 in any network, and the density of offset_o is

    t(u_o / tau) / (tau s response_o)

with one tau per network. If s is taken too small, u is large, if too large, the factor 1/s says so.
A bare layer's biases may have any size, at any s. gamma is of the order of 1, too: the median of
s response_o is near 0.4, give or take.

The same tau shows in the layers behind: the median over layers of the median of |bias| over the
outputs' deviation, their *share*, is a statement about it, and no witness of its own,

    log share  ~  N(log SHARE + SLOPE log(tau / TAU); SHARE_SPREAD, and from layer to layer)

so both are held against each tau, and summed over all. (As independent witnesses, small betas were
counted twice: 11 of 370 folded networks of random weights had a wrong range and no warning, and
odds of 10 to 60 to 1 were right six times of ten.) Where kernels are random, a share stays near
0.25 however small betas are: what a ReLU lets through has a mean.

TAU, SIZE and their spreads were set by hand, by what 16 folded networks show (the zoo's but those
without BatchNormalization in front): median |u| 0.15 to 2.3 (and 6.7 in MobileNetV1 0.25, half of
whose 8 kernels are dead), of which TAU and its spread are about centre and deviation of the
logarithm; median of s response_o 0.17 to 1.6 and 0.02 in ESPNet, the same. Of tau, the tails are
wide: there are networks of hardly any betas. With each network left out in turn,
``bench/conventions.py`` takes centre and deviation of the others, and says what becomes of the
answers. SHARE, SLOPE and SHARE_SPREAD are those of the same 16 (0.7, 0.35, 0.35; shares 0.4 to 1.3,
and 2.1) and of 370 of random weights (0.6, 0.4 to 0.6, 0.4), a little wider.
"""

from collections.abc import Sequence
from math import lgamma, log, pi, sqrt

import numpy as np

from spiq.stats.channel import Array
from spiq.stats.inputs.conventions import CONVENTIONS
from spiq.stats.inputs.first_layers import FirstLayer

TAU, TAU_SPREAD = 0.95, 0.7
SIZE, SIZE_SPREAD = 0.39, 1.1

SHARE, SLOPE, SHARE_SPREAD, SHARE_WITHIN = 0.6, 0.5, 0.5, 0.75
"""As said; and what the spread is over the root of the layers' number for there are no more of them
(1.25 times the deviation from layer to layer, 0.6)."""

_STEPS_OF_TAU = np.linspace(-5, 5, 61)
"""Values of log tau that are looked at, in TAU_SPREAD."""

_FREEDOM = 4
"""Of the distributions of beta/gamma, and of log tau."""

_CHANNELS = 0.3
"""Share of a layer's channels that counts as independent witnesses."""

_LEAST = 0.03
"""Response over the largest, below which a kernel is as good as dead."""

ANY_TAU = np.linspace(log(1e-5), log(1e3), 93)
"""Logarithms of tau where biases may have any size."""

_ANY_SHARE = -log(log(1.0 / 1e-4))
"""Density of the logarithm of a share in bare networks: any size from 1e-4 to 1."""


def taus(every: int = 1) -> tuple[Array, Array]:
    """Return logarithms of tau, and the logarithm of how likely each is before one looks.

    Args:
        every: How many of them to step.
    """
    steps = _STEPS_OF_TAU[::every]
    prior = -(_FREEDOM + 1) / 2 * np.log1p(np.square(steps) / _FREEDOM)
    return log(TAU) + TAU_SPREAD * steps, np.asarray(prior - np.logaddexp.reduce(prior))


def any_betas() -> Array:
    """Return how likely each tau is by each convention before one looks: logarithms."""
    return np.tile(taus()[1], (len(CONVENTIONS), 1))


def witness(layers: Sequence[FirstLayer]) -> FirstLayer | None:
    """Return the layer whose biases tell of the input, if one does."""
    told = [layer for layer in layers if layer.biased and layer.stated is None]
    return max(told, key=lambda layer: len(layer.sums), default=None)


def live_parts(layer: FirstLayer, *, pictures: bool = True) -> tuple[Array, Array, Array]:
    """Return response, offset and sums of a layer's kernels that are not dead."""
    response = layer.response if pictures else np.sqrt(layer.powers.sum(axis=2)[0])
    live = response > _LEAST * response.max(initial=0)
    return response[live], layer.offset[live], layer.sums[live]


def of_biases(layer: FirstLayer) -> tuple[Array, Array]:
    """Return what one layer's biases, and the size of its outputs, say of each convention.

    Returns:
        Evidence, shape (conventions, 2), and the logarithm of how likely each tau is by each
        convention then, shape (conventions, taus).
    """
    response, offset, sums = live_parts(layer)
    if not len(response):
        return np.zeros((len(CONVENTIONS), 2)), any_betas()
    nothing = np.zeros(len(ANY_TAU))
    bare = float(density_of(offset[None] / response, ANY_TAU, nothing)[0])
    rows, betas = [], []
    for convention in CONVENTIONS:
        mean, std = convention.mean, convention.std
        u = (mean * sums + offset) / (std * response)
        by_tau = _by_tau(u[None], *taus())[0]
        density = float(np.logaddexp.reduce(by_tau)) - _CHANNELS * len(response) * log(std)
        size = (log(std * float(np.median(response))) - log(SIZE)) / SIZE_SPREAD
        rows.append((density - 0.5 * size**2, bare))
        betas.append(by_tau - np.logaddexp.reduce(by_tau))
    return np.array(rows), np.array(betas)


def of_shares(shares: Sequence[float], betas: Array) -> Array:
    """Return what layers say whose biases are such shares of their outputs' deviation.

    Args:
        shares: One per layer.
        betas: Logarithm of how likely each tau is, by the convention that layers were run on.

    Returns:
        The log-likelihood of either history.
    """
    spread = float(np.hypot(SHARE_SPREAD, SHARE_WITHIN / sqrt(len(shares))))
    expected = log(SHARE) + SLOPE * (taus()[0] - log(TAU))
    away = (log(max(float(np.median(shares)), 1e-9)) - expected) / spread
    density = -0.5 * np.square(away) - log(spread * sqrt(2 * pi))
    return np.array([np.logaddexp.reduce(betas + density), _ANY_SHARE])


def density_of(u: Array, logs: Array, prior: Array, scale: float = 1.0) -> Array:
    """Return the log-density of each row of u, Student's t times tau, over what tau may be.

    Args:
        u: Shape (rows, channels).
        logs: Logarithms of tau.
        prior: Logarithm of how likely each is.
        scale: What u was divided by.
    """
    share = prior - np.logaddexp.reduce(prior)
    density = np.logaddexp.reduce(_by_tau(u, logs, share), axis=1)
    return np.asarray(density - _CHANNELS * u.shape[1] * log(scale))


def _by_tau(u: Array, logs: Array, share: Array) -> Array:
    """Return the log-density of each row of u, (rows, channels), by each tau: (rows, taus)."""
    constant = lgamma((_FREEDOM + 1) / 2) - lgamma(_FREEDOM / 2) - 0.5 * log(_FREEDOM * pi)
    scaled = np.square(u[..., None] / np.exp(logs)) / _FREEDOM
    density = (constant - (_FREEDOM + 1) / 2 * np.log1p(scaled) - logs).sum(axis=1)
    return np.asarray(_CHANNELS * density + share)
