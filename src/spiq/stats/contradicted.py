"""Variances that a normalization layer states and that cannot be.

A running variance of 0 (or of 1e-12, or hardly negative) is that of a channel that never changes.
Where the layers in front make that channel as strong as its neighbours, the statement is false: the
statistics were never updated, or were lost. The network computes what it computes all the same,
x / sqrt(0 + eps), hundreds of deviations wide, and a grid for what is stated would cut all of it
off. There, mean and variance are those that the layers in front imply.

Implied variances are wrong by themselves where channels and pixels are correlated: in 14 networks
with BatchNorm, of channels that would be among the stronger half of their layer, implied over
stated variance is 170 at most in 13, and 6,600 in one channel of MobileNetV2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spiq.passes.batchnorm import Moments
from spiq.stats.channel import ChannelStats

_FALSE = 1e-6
"""Of the variance implied: less is no statement of this network."""

_LOW = 0.02
"""Of the largest variance of a layer: what is more is not what an epsilon makes of next to nothing,
and need not be compared, which takes a millisecond per layer."""

_DOUBT = 0.35
"""Spread of the logarithm of a deviation that is implied, half of a factor of 2 in the variance."""


@dataclass(frozen=True)
class Contradiction:
    """A tensor of which false variances were stated.

    Attributes:
        where: The node that writes it.
        channels: How many channels of it.
        of: How many there are.
    """

    where: str
    channels: int
    of: int


def said(found: Sequence[Contradiction]) -> list[str]:
    """Return a sentence for the user, if there is anything to say."""
    if not found:
        return []
    first, more = found[0], len(found) - 1
    others = f" (and {more} other{'s' * (more > 1)})" if more else ""
    return [
        f"the BatchNorm behind {first.where}{others} states that {first.channels} of {first.of} "
        "channels hardly vary, but what is in front of it makes them vary: its running statistics "
        "were not believed there: run training data through the network in training mode, and "
        "export it again"
    ]


def is_suspect(moments: Moments) -> bool:
    """Return whether a stated variance is so far below the others that it is to be checked."""
    least, most = moments.var.min(initial=np.inf), moments.var.max(initial=0.0)
    return moments.source == "norm" and bool(least <= _LOW * most)


def mended(moments: Moments, implied: ChannelStats) -> tuple[Moments, int]:
    """Return moments in which false variances are those implied, and how many were.

    Args:
        moments: What is stated.
        implied: What the layers in front imply, of the same channels.
    """
    if implied.mean.size != moments.mean.size:
        return moments, 0
    mean, var = implied.mean.reshape(-1), implied.var.reshape(-1)
    false = (moments.var < _FALSE * var) & (var >= np.median(moments.var))
    found = replace(
        moments,
        mean=np.where(false, mean, moments.mean),
        var=np.where(false, var, moments.var),
        doubt=np.where(false, _DOUBT, moments.doubt),
    )
    return found, int(false.sum())
