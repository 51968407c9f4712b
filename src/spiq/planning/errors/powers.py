"""The range of a power of a tensor: a square, a cube, a squared ReLU.

For an x whose ends are c + lambda d, f(c + lambda d) is no range to choose from: the tail of a
square falls so slowly that the widest of them seems best. What lambda counts of f(x) are its
own deviations,

    E[f(x)] +- lambda std[f(x)],    x = c + d T,

with T of :mod:`spiq.planning.errors.error_model`, whose tail makes the deviation of a square 1.5
times as large as a normal x would, and that of a cube 4 times. c and d are read off the ends of x.
"""

from functools import cache

import numpy as np

from spiq.planning.errors.error_model import FREEDOM, Tail, tail_of
from spiq.stats.channel import Array, ChannelStats
from spiq.stats.rules.activations import Function

_NEAR, _FAR, _POINTS = 0.01, 60.0, 150
"""Least and largest deviation looked at, on either side, and how many between, even in the log."""


@cache
def _law(freedom: float) -> tuple[Array, Array]:
    """Return values of T, and their shares, which add up to 1."""
    side = np.geomspace(_NEAR, _FAR, _POINTS)
    t = np.concatenate([-side[::-1], [0.0], side])
    density = (1 + t**2 / (freedom - 2)) ** (-(freedom + 1) / 2) * np.gradient(t)
    return t, density / density.sum()


def power_range(
    function: Function,
    span: tuple[Array, Array],
    known: ChannelStats,
    widths: Array,
    freedom: float = FREEDOM,
) -> tuple[Array, Array]:
    """Return the range of f(x) for each width.

    Args:
        function: f.
        span: Low and high end of x at each width, each of shape layout + (L,).
        known: Bounds of x.
        widths: The widths, shape (L,).
        freedom: Degrees of freedom of T.
    """
    flat = (end.reshape(-1, len(widths)) for end in span)
    below, above = next(flat), next(flat)
    up = tail_of(above, known.high.reshape(-1), widths)
    down = tail_of(-below, -known.low.reshape(-1), widths)
    turned = down.deviation > up.deviation
    t, share = _law(freedom)
    x = np.where(turned[:, None], -_values(down, t), _values(up, t)).reshape(*known.layout, -1)
    values = function(np.clip(x, known.low[..., None], known.high[..., None]))
    mean = values @ share
    deviation = np.sqrt(np.square(values - mean[..., None]) @ share)
    reach = deviation[..., None] * widths
    return mean[..., None] - reach, mean[..., None] + reach


def _values(tail: Tail, t: Array) -> Array:
    return np.asarray(tail.centre[:, None] + tail.deviation[:, None] * t)
