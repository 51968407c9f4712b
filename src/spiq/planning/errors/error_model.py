"""Expected squared errors, in closed form, from what is known of each channel.

A channel is taken as c + d T, with T of Student's t distribution at 6.5 degrees of freedom and
variance 1: real channels have heavier tails than normal ones, and this is what published networks
show at 3 to 10 deviations (docs/design.md). Behind a ReLU it is rectified. On a grid of step s that
ends at a, the errors of one value are

    rounding    P(x != 0) s^2 / 12     (0 is on every grid), and never more than E[x^2]
    clipping    d^2 C((a - c) / d),    C(r) = E[max(T - r, 0)^2]    (none where a bound comes first)

and a layer y_o = sum_c,k W[o,c,k] x_c(k) adds to its output, e_c being the sum of both,

    activations  sum_c e_c sum_k W[o,c,k]^2
    weights      q_o^2 / 12 sum_c,k Var[x_c],    q_o the step of W[o]

(E[x^2] in place of Var[x] where the bias is not corrected).

Errors of different channels, taps and causes are taken as independent.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from spiq.stats.channel import Array

FREEDOM, SUM_FREEDOM = 6.5, 9.0
"""Degrees of freedom of T, and of T for sums. The excess kurtosis of a sum of two like channels is
half of theirs: 6 / (6.5 - 4) = 2.4, and 6 / (9 - 4) = 1.2."""

_NEAR, _FINE = 12, 100
"""Up to where, on either side, r is tabulated evenly, and at how many points to the unit."""

_FAR, _COARSE = 400.0, 400
"""Up to where it is tabulated evenly in its logarithm after that, and at how many points."""

_MOST, _APART, _NODES = 2.0, 0.05, 15
"""The largest doubt, how far apart tabulated ones are, and nodes of the quadrature."""


@cache
def _table(freedom: float) -> tuple[Array, Array, Array]:
    """Return r, log C(r) and P(T > r) on a grid of r, even where it is near."""
    near = np.linspace(-_NEAR, _NEAR, 2 * _NEAR * _FINE + 1)
    r = np.concatenate([near, np.geomspace(_NEAR, _FAR, _COARSE + 1)[1:]])
    spread = np.sqrt(freedom / (freedom - 2))
    density = (1 + (r * spread) ** 2 / freedom) ** (-(freedom + 1) / 2)
    beyond = _integral_above(r, density)
    beyond /= beyond[0]
    return r, np.log(2 * _integral_above(r, _integral_above(r, beyond)) + 1e-300), beyond


def _integral_above(r: Array, f: Array) -> Array:
    pieces = np.diff(r) * (f[1:] + f[:-1]) / 2
    return np.append(np.cumsum(pieces[::-1])[::-1], 0.0)


def _looked_up(reach: Array, r: Array, log_power: Array) -> Array:
    """Return log C at any reach; far below the centre, all of (T - r)^2 counts."""
    below = np.log(np.maximum(reach, r[0]) ** 2 + np.maximum(r[0] - reach, 0) ** 2 + 1)
    return np.where(reach < r[0], below, np.interp(reach, r[:-1], log_power[:-1]))


@cache
def _rows(freedom: float, doubtful: bool) -> Array:
    """Return log C(r, tau), a row for each tau from 0 to ``_MOST``, on the r of the table.

    C(r, tau) = E[k^2 C(r / k)] with k = exp(tau z - tau^2) and z normal, by Gauss-Hermite: the
    clipped power where the logarithm of the deviation is uncertain by tau and E[k^2] is 1.
    """
    r, log_power, _ = _table(freedom)
    rows = [log_power]
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    for tau in np.arange(1, round(_MOST / _APART) + 1) * _APART if doubtful else ():
        factors = np.exp(tau * nodes - tau**2)
        powers = [k**2 * np.exp(_looked_up(r / k, r, log_power)) for k in factors]
        rows.append(np.log(weights @ np.array(powers) / weights.sum() + 1e-300))
    return np.array(rows)


@cache
def _lines(freedom: float, kind: np.dtype[np.floating], *, doubtful: bool) -> tuple[Array, Array]:
    """Return log C(r, tau) at each point of the table, and what it gains up to the next one.

    Flat, one row after the other; tau is 0 alone where it is not ``doubtful``.
    """
    rows = _rows(freedom, doubtful)
    gains = np.diff(rows, axis=1, append=rows[:, -1:])
    return rows.reshape(-1).astype(kind), gains.reshape(-1).astype(kind)


_POINTS = 2 * _NEAR * _FINE + _COARSE + 1
"""Of the table."""

_PER_LOG = _COARSE / math.log(_FAR / _NEAR)


def _places(reach: Array) -> Array:
    """Return where each r lies among the points of the table, counted from 0, and between them."""
    place = np.minimum(reach, _NEAR)
    np.maximum(place, -_NEAR, out=place)
    place += _NEAR
    place *= _FINE

    # beyond the even part, points are even in the logarithm; 0 is added before
    far = np.maximum(reach, _NEAR)
    far *= 1 / _NEAR
    np.log(far, out=far)
    far *= _PER_LOG
    place += far
    return np.minimum(place, _POINTS - 1, out=place)


def power_beyond(reach: Array, freedom: float = FREEDOM, doubt: Array | None = None) -> Array:
    """Return C(r, tau), the expected square of what lies beyond ``reach`` in deviations.

    From a table of its logarithm with straight lines between points: within 2e-4 of its value up
    to r = 6, 2e-3 up to 12 and 2 % up to 100; where the table ends, at 400, it has come down to 0.
    Of reaches of single precision it is of single precision.

    Args:
        reach: r, shape (C, ...).
        freedom: Degrees of freedom of T.
        doubt: tau, shape (C,): spread of the logarithm of the deviation; None where it is known.
    """
    power = _places(reach)
    whole = np.floor(power)
    power -= whole
    below = whole.astype(np.intp)
    doubtful = doubt is not None and bool(doubt.any())
    if doubt is not None and doubtful:
        rows = np.rint(np.minimum(doubt, _MOST) / _APART).astype(np.intp)
        below += rows.reshape(-1, *(1,) * (reach.ndim - 1)) * _POINTS
    start, gain = _lines(freedom, reach.dtype, doubtful=doubtful)
    power *= gain.take(below)
    power += start.take(below)
    return np.exp(power, out=power)


def share_beyond(reach: Array, freedom: float = FREEDOM) -> Array:
    """Return P(T > r)."""
    r, _, beyond = _table(freedom)
    return np.interp(reach, r, beyond)


@dataclass(frozen=True)
class Tail:
    """One side of a channel's distribution: values beyond the centre are centre + deviation T.

    Attributes:
        centre: c, shape (C,), counted in the direction of this side.
        deviation: d, shape (C,); 0 where the side ends at a bound whatever the width.
        bound: Value never passed, shape (C,); inf where there is none.
        freedom: Degrees of freedom of T.
        doubt: Spread of the logarithm of d, shape (C,); None where it is known.
    """

    centre: Array
    deviation: Array
    bound: Array
    freedom: float = FREEDOM
    doubt: Array | None = None

    def clipped(self, capacity: Array) -> Array:
        """Return the expected square of what lies beyond ``capacity``, shape (C, ...).

        For several widths, among which one is looked for, single precision is enough.
        """
        wide = (slice(None),) + (None,) * (capacity.ndim - 1)
        reach = capacity - self.centre[wide]
        if capacity.ndim > 1:
            reach *= self._inverse[wide]
            reach = np.clip(reach, -1e30, 1e30, out=reach).astype(np.float32)
        else:
            reach /= np.maximum(self.deviation, 1e-30)
        counted = np.where(self.deviation > 0, self.deviation**2, 0.0)[wide]
        power: Array = power_beyond(reach, self.freedom, self.doubt) * counted
        if self.bounded:
            power[capacity >= self.bound[wide] * (1 - 1e-9)] = 0.0
        return power

    @cached_property
    def bounded(self) -> bool:
        """Whether any value is never passed."""
        return bool(np.isfinite(self.bound).any())

    @cached_property
    def _inverse(self) -> Array:
        return 1 / np.maximum(self.deviation, 1e-30)


def tail_of(
    ends: Array,
    bound: Array,
    widths: Array,
    freedom: float = FREEDOM,
    doubt: Array | None = None,
) -> Tail:
    """Read a tail off a range at several widths.

    Args:
        ends: End of the range at each width, counted in the direction of this side, shape (C, L).
        bound: Value never passed, shape (C,).
        widths: The widths, shape (L,).
        freedom: Degrees of freedom of T.
        doubt: Spread of the logarithm of the deviation, shape (C,).
    """
    if len(widths) == 1:
        return Tail(np.zeros(len(ends)), ends[:, 0] / widths[0], bound, freedom, doubt)
    slopes = np.diff(ends) / np.diff(widths)
    steepest = slopes.argmax(axis=1)
    rows = np.arange(len(ends))
    deviation = np.maximum(slopes[rows, steepest], 0)
    upper = steepest + 1
    centre = ends[rows, upper] - deviation * widths[upper]
    return Tail(centre, deviation, bound, freedom, doubt)


def rounding_error(step: Array, active: Array, power: Array) -> Array:
    """Return the expected square of a rounding error.

    Args:
        step: Step of each channel, shape (C, ...).
        active: Share of values that are not exactly 0, shape (C,).
        power: E[x^2], shape (C,).
    """
    wide = (slice(None),) + (None,) * (step.ndim - 1)
    error = active[wide] * step**2
    error /= 12
    return np.minimum(error, power[wide], out=error)


def weight_rounding(step: Array, met: Array) -> Array:
    """Return the expected squared error of outputs from rounding the weight, shape (g, O/g).

    Args:
        step: Step of each output channel's weight, shape (g, O/g).
        met: Variance that one row of the weight meets, taps and inputs added up, shape (g, 1).
    """
    return np.asarray(step.astype(np.float64) ** 2 / 12 * met)


def layer_error(split: np.ndarray, activations: Array, var: Array, step: Array) -> Array:
    """Return the expected squared error of a layer's outputs, shape (O,).

    Args:
        split: The weight, shape (g, O/g, C/g, K), groups and taps apart.
        activations: Expected squared error of each input channel, shape (C,), in its own units.
        var: Variance of the input channels as the rounded weight meets them, shape (C,).
        step: Step of each output channel's weight, shape (g, O/g).
    """
    groups, _, inputs, taps = split.shape
    powers = np.square(split).sum(axis=3, dtype=np.float64)
    passed = (powers @ activations.reshape(groups, inputs, 1))[..., 0]
    met = taps * var.reshape(groups, inputs).sum(axis=1, keepdims=True)
    return np.asarray((passed + weight_rounding(step, met)).reshape(-1))


def active_share(tail: Tail, rectified: npt.NDArray[np.bool_]) -> Array:
    """Return the share of values that are not exactly 0 of channels that may be rectified."""
    centre = np.where(tail.deviation > 0, tail.centre / np.maximum(tail.deviation, 1e-30), 1e9)
    return np.where(rectified, share_beyond(-centre, tail.freedom), 1.0)
