"""A fourth channel beside colours: depth, opacity, a mask.

It may be anything, and where it is of another size than the colours, what is taken for the
convention of all is wrong for all. Where normalization layers state the first layer's outputs, each
channel's moments are solved for (:mod:`spiq.stats.inputs.moments`): those of the colours tell of
their convention, and a fourth's that are others are its own. Where it was folded away, with m and s
the mean and the deviation of the colours by a convention, and m_4 and s_4 those of the fourth
channel, the first layer's biases are those of

    u_o    =  (m sums_o + m_4 sums_o4 + offset_o) / v_o
    v_o^2  =  s^2 sum_c<4 powers_oc + s_4^2 powers_o4

with u_o = beta/gamma and the median of v_o distributed as in :mod:`spiq.stats.inputs.biases`. The
likelihood is summed over all m_4 and s_4,

    log s_4  ~  N(log s; 2.5),    m_4/s_4  ~  N(0; 2),

and held against that of a fourth colour; either is as likely before one looks. So each convention
gets the evidence that is left, and the channel its moments.

Tried on 20 small folded networks of known inputs (depth in metres and millimetres, opacity, masks,
near infrared, a colour twice, flow; docs/experiments.md), which nothing here was fitted to.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import log

import numpy as np

from spiq.stats.channel import Array
from spiq.stats.inputs.biases import SIZE, SIZE_SPREAD, density_of, taus, witness
from spiq.stats.inputs.conventions import CONVENTIONS, Convention, Fourth
from spiq.stats.inputs.evidence import NEAR, SURE, Verdict
from spiq.stats.inputs.first_layers import CORRELATED, NEIGHBOURS, FirstLayer
from spiq.stats.inputs.folded import prior, weighed
from spiq.stats.inputs.moments import channel_moments

CHANNELS = 4
"""Channels of the pictures that are meant."""

_WIDE = 2.5
"""Deviation of log s_4/s: three powers of ten either way are two of them. A judgement."""

_SIZES = np.linspace(-3, 3, 45)
"""Values of log s_4/s that are looked at, in deviations."""

_PLACES = np.linspace(-4, 4, 25)
"""Values of m_4/s_4 that are looked at."""

_EVERY = 3
"""Of the values of log tau, how many to step."""


def stated_apart(layers: Sequence[FirstLayer]) -> tuple[tuple[float, float], Fourth] | None:
    """Return mean and deviation of the colours, and the fourth channel, if it is stated to differ.

    Args:
        layers: The equations that the first layers state.
    """
    each = channel_moments(layers, CHANNELS)
    if each is None:
        return None
    means, stds = each
    mean, std = float(means[:-1].mean()), float(np.median(stds[:-1]))
    off = np.hypot(np.log2(stds[-1] / std), (means[-1] - mean) / std)
    fourth = Fourth(float(means[-1]), float(stds[-1]), 0.0, float("inf"))
    return ((mean, std), fourth) if off >= NEAR else None


def with_fourth(verdict: Verdict, layers: Sequence[FirstLayer]) -> Verdict:
    """Return the verdict where the last of four channels may be anything.

    Args:
        verdict: That of four colours.
        layers: The equations that the first layers state.
    """
    layer = witness(layers)
    if verdict.stated is not None or layer is None or layer.by_channel.shape[1] != CHANNELS:
        return verdict
    fourths = tuple(_fourth(layer, convention) for convention in CONVENTIONS)
    evidence = np.zeros((len(CONVENTIONS), 2))
    evidence[:, 0] = [np.logaddexp(0, one.odds) - log(2) for one in fourths]
    return replace(verdict, table=verdict.table + evidence, fourths=fourths)


def fourth_of(verdict: Verdict, index: int) -> Fourth | None:
    """Return the fourth channel beside colours of a convention, if it surely is no colour."""
    known = verdict.fourths[index] if verdict.fourths else None
    return known if known is not None and known.odds > SURE else None


def spans(verdict: Verdict, index: int) -> tuple[Array, Array]:
    """Return low and high end by a convention, one number for all channels or one for each."""
    colours, fourth = CONVENTIONS[index], fourth_of(verdict, index)
    ends = [(colours.low, colours.high)]
    if fourth is not None:
        ends = [*ends * (CHANNELS - 1), fourth.ends]
    low, high = np.array(ends).T
    return low, high


def _fourth(layer: FirstLayer, colours: Convention) -> Fourth:
    """Return what the fourth channel is beside colours of a convention."""
    logs = log(colours.std) + _WIDE * _SIZES
    table = prior(_SIZES, _PLACES)
    for row, std in zip(table, np.exp(logs), strict=True):
        row += _likelihood(layer, colours, std * _PLACES, float(std))
    alike = float(_likelihood(layer, colours, np.array([colours.mean]), colours.std)[0])

    whole, share, middle, spread = weighed(table, logs)
    mean = float((share * np.exp(logs)[:, None] * _PLACES).sum())
    return Fourth(mean, float(np.exp(middle)), spread, whole - alike)


def _likelihood(layer: FirstLayer, colours: Convention, means: Array, std: float) -> Array:
    """Return the log-likelihood of each mean of a fourth channel of a deviation."""
    powers = layer.powers[CORRELATED.index(NEIGHBOURS)]
    size = np.sqrt(colours.std**2 * powers[:, :-1].sum(axis=1) + std**2 * powers[:, -1])
    live = size > 0
    sums, size = layer.by_channel[live], size[live]
    offset = colours.mean * sums[:, :-1].sum(axis=1) + layer.offset[live]
    u = (means[:, None] * sums[:, -1] + offset) / size
    scale = float(np.exp(np.log(size).mean()))
    density = density_of(u, *taus(_EVERY), scale=scale)
    away = (log(float(np.median(size))) - log(SIZE)) / SIZE_SPREAD
    return np.asarray(density - 0.5 * away**2)
