"""Steps that the operands and the result of a sum share.

Where all three have one step, the sum of two integers is an integer: it is not rounded again. One
sum after the other, those first whose steps are nearest, steps are shared where that costs less.
Channel scales and zero points stay; the width of each range is the largest that the step holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spiq.planning.choose.group import Grids, Group, Scaled, Sum
from spiq.stats.channel import Array

_TRIES = 8
"""Steps that are tried for each sum."""


@dataclass(frozen=True)
class _Fixed:
    """What sharing steps leaves as it is.

    Attributes:
        group: The tensors.
        scaled: What was decided for them, each grid with a step of its own.
        sigma: Channel scale of each channel, for each tensor, shape (C, 1).
        every: Step of each grid at each width, by its number.
    """

    group: Group
    scaled: Scaled
    sigma: Sequence[Array]
    every: Mapping[int, Array]

    def limit(self, grid: int) -> float:
        """Return the largest step of a grid whose end stands for an upper bound."""
        levels = max(self.group.qmax[grid] - self.scaled.zero_points[grid], 1)
        ends = [
            (t.hard_high / scale[:, 0])[t.hard_high > 0]
            for t, scale in zip(self.group.tensors, self.sigma, strict=True)
            if t.grid == grid and t.saturates
        ]
        return float(np.concatenate([*ends, [np.inf]]).min()) / levels

    def error(self, chosen: Grids, joint: frozenset[int]) -> float:
        """Return the expected error of the grids in ``joint``, each on the step that it shares."""
        largest: dict[int, float] = {}
        for grid in joint:
            step, number = float(self.every[grid][chosen.widths[grid]]), chosen.shared[grid]
            largest[number] = max(largest.get(number, 0.0), step)
        steps = {grid: np.array([largest[chosen.shared[grid]]]) for grid in joint}
        zero_points = self.scaled.zero_points
        errors = self.group.errors(steps, self.sigma, zero_points, chosen.shared)
        return float(sum(error[0] for error in errors.values()))


def share_steps(group: Group, scaled: Scaled) -> Scaled:
    """Let operands and results of sums share a step, one sum after the other, where it pays."""
    by_class = np.array([scaled.channel_scales[int(name)] for name in group.names])
    sigma = group.spread(by_class, wide=True)
    every = group.steps(group.needs(scaled.zero_points, None), sigma)
    fixed = _Fixed(group, scaled, sigma, every)

    own = {grid: grid for grid in scaled.widths}
    chosen = Grids(scaled.alpha, scaled.zero_points, scaled.widths, own)
    for one in sorted(group.sums, key=lambda one: _apart(scaled, one)):
        chosen = _shared(fixed, chosen, one)

    together = group.evaluated(chosen)
    return together if together.cost < scaled.cost else scaled


def _apart(scaled: Scaled, one: Sum) -> float:
    steps = [scaled.steps[grid] for grid in one]
    return max(steps) / min(steps)


def _shared(fixed: _Fixed, chosen: Grids, one: Sum) -> Grids:
    """Return the choice with the grids of one sum, and those that share with them, on one step."""
    members = {chosen.shared[grid] for grid in one}
    if len(members) == 1:
        return chosen
    joint = frozenset(grid for grid in chosen.shared if chosen.shared[grid] in members)
    before = fixed.error(chosen, joint)

    costs = [(fixed.error(trial, joint), trial) for trial in _trials(fixed, chosen, joint)]
    cost, best = min(costs, key=lambda tried: tried[0])
    return best if cost < before * (1 - 1e-9) else chosen


def _trials(fixed: _Fixed, chosen: Grids, joint: frozenset[int]) -> Iterator[Grids]:
    """Yield the choice with ``joint`` on one step, for several steps."""
    every, number = fixed.every, min(chosen.shared[grid] for grid in joint)
    trial = replace(chosen, shared={**chosen.shared, **dict.fromkeys(joint, number)})

    own = [max(float(every[grid][chosen.widths[grid]]), 1e-30) for grid in joint]
    limit = min(fixed.limit(grid) for grid in joint)
    for step in np.geomspace(min(own), min(max(own), limit), _TRIES):
        held = {
            grid: max(int(np.searchsorted(every[grid], step * (1 + 1e-9))) - 1, 0) for grid in joint
        }
        yield replace(trial, widths={**chosen.widths, **held})
