"""What lies in front of a rectifier, from the moments of what is left behind it.

A BatchNormalization behind a ReLU states mean and variance of a channel that stops at a bound: at
0 on its input, at its own b on its output. Such a channel is x = bound + max(y, 0), y = c + d T
with T of :mod:`spiq.planning.errors.error_model`, and the fewer of its values are not at the bound,
the further its tail reaches, counted in its own deviations. With kappa = c/d,

    t(kappa) = E[max(kappa + T, 0)] / std[max(kappa + T, 0)]

rises from 0 without end, so (mean - bound)/std = t gives kappa, and std gives d. At t = 0.3, as in
the last blocks of EtinyNet, d is 2.9 of the channel's deviations and c lies 2.5 of them below its
bound. Taken as mean +- lambda std, such channels were cut at half of what they reach.
"""

import numpy as np

from spiq.planning.errors.error_model import power_beyond, share_beyond
from spiq.stats.channel import Array, ChannelStats

_NEAR, _FAR = 1.0, 10.0
"""Channels whose mean is further than a deviation from the bound are left as they are (with 4 in
place of 1, EtinyNet has 0.6 dB more and ESPNet 0.9 less), and so are those between two bounds of
which the other is within 10 (ReLU6)."""


def _tabulate() -> tuple[Array, Array, Array]:
    """Return kappa, t(kappa) and std[max(kappa + T, 0)]."""
    r = np.concatenate([np.linspace(-8, 12, 4001), np.geomspace(12.01, 400, 400)])
    beyond = share_beyond(r)
    pieces = np.diff(r) * (beyond[1:] + beyond[:-1]) / 2
    mean = np.append(np.cumsum(pieces[::-1])[::-1], 0.0)
    std = np.sqrt(np.maximum(power_beyond(r) - mean**2, 0))
    use = r < 6
    return -r[use][::-1], (mean[use] / std[use])[::-1], std[use][::-1]


_KAPPA, _RATIO, _LEFT = _tabulate()


def unrectified(known: ChannelStats) -> tuple[Array, Array]:
    """Return centre c (bound included) and deviation d in front of the rectifier, in the layout.

    Channels that no near bound ends keep their own mean and deviation.

    Args:
        known: Moments and bounds of a tensor.
    """
    std = np.maximum(known.std, 1e-30)
    below, above = (known.mean - known.low) / std, (known.high - known.mean) / std
    ratio = np.minimum(below, above)
    one_sided = (ratio < _NEAR) & (np.maximum(below, above) > _FAR) & (ratio > _RATIO[0])
    deviation = std / np.interp(ratio, _RATIO, _LEFT)
    offset = np.interp(ratio, _RATIO, _KAPPA) * deviation
    with np.errstate(invalid="ignore"):
        centre = np.where(below < above, known.low + offset, known.high - offset)
    return np.where(one_sided, centre, known.mean), np.where(one_sided, deviation, known.std)
