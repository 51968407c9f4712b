"""What is known of each channel of a tensor: the foundation of everything that follows."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spiq.graph.query import Array as Array

SOURCES = ("norm", "synthetic", "data", "propagated", "input", "constant")


@dataclass(frozen=True)
class ChannelStats:
    """Moments and hard bounds of every channel.

    All arrays have the same shape, the tensor's *layout*: its rank, with size 1 along every
    axis over which values are alike (batch, space). An image tensor (N, C, H, W) has the layout
    (1, C, 1, 1), the (N, C) behind Flatten (1, C), a channel shuffle's middle (1, g, C/g, 1, 1).

    Attributes:
        mean: Expected value.
        var: Variance over images and positions, in squared units of the tensor.
        low: Value that is never undercut; -inf where none is known.
        high: Value that is never exceeded; inf where none is known.
        source: Where the moments come from: ``norm`` (a normalization layer states them),
            ``synthetic`` (observed on synthetic images), ``data`` (on real ones, too),
            ``propagated`` (through operators),
            ``input`` (assumed of the network's input), ``constant``.
        doubt: How well the deviation is known: the spread of its logarithm. ``var`` is what is to
            be expected, doubt included; 0 where it is taken as it is told.
    """

    mean: Array
    var: Array
    low: Array
    high: Array
    source: str
    doubt: Array = field(default_factory=lambda: np.zeros(()))

    def __post_init__(self) -> None:
        if self.doubt.shape != self.mean.shape:
            object.__setattr__(self, "doubt", np.broadcast_to(self.doubt, self.mean.shape))
        shapes = {self.mean.shape, self.var.shape, self.low.shape, self.high.shape}
        if len(shapes) != 1:
            raise ValueError(f"ChannelStats: arrays of different shapes {sorted(shapes)}")
        if self.source not in SOURCES:
            raise ValueError(f"ChannelStats: unknown source {self.source!r}")

    @property
    def layout(self) -> tuple[int, ...]:
        """The shape of the arrays."""
        return self.mean.shape

    @property
    def std(self) -> Array:
        """Standard deviation."""
        return np.sqrt(self.var)

    @property
    def second_moment(self) -> Array:
        """E[x^2]."""
        return self.var + self.mean**2


def stats(
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    low: npt.ArrayLike = -np.inf,
    high: npt.ArrayLike = np.inf,
    source: str = "propagated",
    doubt: npt.ArrayLike = 0.0,
) -> ChannelStats:
    """Build ChannelStats from anything that broadcasts; var is kept from going below zero.

    Args:
        mean: As of :class:`ChannelStats`; all are of shapes that broadcast.
        var: The same.
        low: The same.
        high: The same.
        source: Where they come from.
        doubt: As of :class:`ChannelStats`.
    """
    arrays = np.broadcast_arrays(
        *(np.asarray(array, np.float64) for array in (mean, var, low, high))
    )
    mean, var, low, high = (array.copy() for array in arrays)
    known = np.broadcast_to(np.asarray(doubt, np.float64), mean.shape)
    return ChannelStats(np.clip(mean, low, high), np.maximum(var, 0.0), low, high, source, known)


def of_constant(array: npt.NDArray[np.generic]) -> ChannelStats:
    """Return the statistics of a tensor that never changes."""
    exact = np.asarray(array, np.float64)
    return stats(exact, np.zeros_like(exact), exact, exact, "constant")


_TAIL, _MOST = 0.6, 2.0
"""Doubt of a share by the deviation of the logarithm that it is of, and the largest variance of
that which counts."""


def tail_of_shares(var: Array) -> Array:
    """Return the doubt of shares whose logarithms have this variance: they are log-normal.

    On a vision transformer with attention on integers 27.7 dB without, 29.9, 31.0 and 31.1 with
    0.35, 0.6 and 0.9 times the deviation; on Swin 39.2, 39.3, 39.4 and 39.3.
    """
    tail: Array = _TAIL * np.sqrt(np.minimum(var, _MOST))
    return tail
