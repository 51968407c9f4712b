"""The error of a stored tensor, as a function of its grid and of the scales of its channels.

A channel x / sigma_c on a grid of step s is rounded on s sigma_c, and clipped beyond what s sigma_c
times the integers on either side of the zero point reaches: the errors of
:mod:`spiq.planning.errors.error_model`, channel by channel.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import onnx_ir as ir

from spiq.planning.errors.error_model import FREEDOM, Tail, active_share, rounding_error, tail_of
from spiq.planning.placement.components import Ids
from spiq.stats.channel import Array


@dataclass(frozen=True)
class Channels:
    """The channels of one stored tensor, flat: everything that its errors depend on.

    Attributes:
        value: The tensor.
        grid: Number of its grid.
        classes: Number of each channel's class, shape (C,).
        low: Low end of the range for each width, shape (C, L).
        high: High end of the range for each width, shape (C, L).
        hard_low: Value never undercut, shape (C,).
        hard_high: Value never exceeded, shape (C,).
        power: E[x^2], shape (C,).
        importance: Shape (C,).
        rounds: Whether the tensor is rounded, and not only moved.
        saturates: Whether the end of the grid stands for the upper bound.
        widths: The widths, shape (L,).
        freedom: Degrees of freedom of the channels' distribution.
        doubt: Spread of the logarithm of the channels' deviation, shape (C,); None where known.
        lasting: How many times as much as rounding clipping counts.
    """

    value: ir.Value
    grid: int
    classes: Ids
    low: Array
    high: Array
    hard_low: Array
    hard_high: Array
    power: Array
    importance: Array
    rounds: bool
    saturates: bool
    widths: Array
    freedom: float = FREEDOM
    doubt: Array | None = None
    lasting: float = 1.0

    def within(self, low: Array, high: Array) -> "Channels":
        """Return the channels with ends that are never passed, of any shape with C numbers."""
        low, high = np.minimum(low.reshape(-1), 0), np.maximum(high.reshape(-1), 0)
        return replace(
            self,
            low=np.maximum(self.low, low[:, None]),
            high=np.minimum(self.high, high[:, None]),
            hard_low=np.maximum(self.hard_low, low),
            hard_high=np.minimum(self.hard_high, high),
        )

    @cached_property
    def above(self) -> Tail:
        """The upper side of the channels."""
        return tail_of(self.high, self.hard_high, self.widths, self.freedom, self.doubt)

    @cached_property
    def below(self) -> Tail:
        """The lower side of the channels."""
        return tail_of(-self.low, -self.hard_low, self.widths, self.freedom, self.doubt)

    @cached_property
    def active(self) -> Array:
        """Share of values that are not exactly 0, shape (C,)."""
        return active_share(self.above, self.hard_low == 0)

    def errors(self, step: Array, zero_point: int, qmax: int, *, rounded: bool = True) -> Array:
        """Return the expected squared error for the step of each channel, both (C, ...).

        Clipping is weighed by what it counts beside rounding.
        """
        error = self.above.clipped((qmax - zero_point) * step)
        if self.hard_low.min() < 0:
            error += self.below.clipped(zero_point * step)
        if self.lasting != 1:
            error *= self.lasting
        if rounded:
            error += rounding_error(step, self.active, self.power)
        return np.asarray(error)

    def cost(self, step: Array, zero_point: int, qmax: int, *, exact: bool = False) -> Array:
        """Return what errors add at the outputs for the step of each channel, shape (...).

        A tensor that is only moved is not rounded again, nor is a sum that is ``exact``.
        """
        rounded = self.rounds and not exact
        return np.asarray(self.importance @ self.errors(step, zero_point, qmax, rounded=rounded))
