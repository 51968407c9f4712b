"""The choice of ranges, zero points and channel scales of a group of tensors.

Tensors whose channels share scales, or that share a grid, are decided together. Chosen are alpha,
and for each grid the width lambda of its ranges and the zero point; what follows from them is in
:mod:`spiq.planning.plan.derive`. Alpha 0 is one scalar scale per tensor, alpha 1 is SPIQ as
published. The choice is the one with the least expected error at the network's outputs,

    sum_t sum_c w_c (rounding + clipping)  +  weight rounding of the layers that read t,

with w_c the importance of the channel and the errors of :mod:`spiq.planning.errors.error_model`.

Where the operands and the result of a sum share one step, the sum of two integers is an integer:
it is not rounded again. Steps are shared, one sum after the other, where that costs less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx_ir as ir

from spiq.methods.method import Method
from spiq.planning.errors.error_model import FREEDOM, Tail, active_share, rounding_error, tail_of
from spiq.planning.errors.weight_error import WeightError
from spiq.planning.plan.derive import Ids, channel_scales, grid_steps, least_step
from spiq.stats.channel import Array

_ZERO_POINTS = 33
_SHARED_STEPS = 8

Sum = tuple[int, int, int]
"""Grids of the two operands of an Add on integers, and of its result."""


@dataclass(frozen=True)
class Channels:
    """The channels of one tensor of a group, flat: everything that the choice needs.

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

    @cached_property
    def above(self) -> Tail:
        """The upper side of the channels."""
        return tail_of(self.high, self.hard_high, self.widths, self.freedom)

    @cached_property
    def below(self) -> Tail:
        """The lower side of the channels."""
        return tail_of(-self.low, -self.hard_low, self.widths, self.freedom)

    @cached_property
    def active(self) -> Array:
        """Share of values that are not exactly 0, shape (C,)."""
        return active_share(self.above, self.hard_low == 0)

    def error(self, step: Array, zero_point: int, qmax: int, *, rounded: bool = True) -> Array:
        """Return the expected error at the outputs for the step of each channel, (C, ...)."""
        error = self.above.clipped((qmax - zero_point) * step)
        if self.hard_low.min() < 0:
            error = error + self.below.clipped(zero_point * step)
        if self.rounds and rounded:
            error = error + rounding_error(step, self.active, self.power)
        return np.asarray(self.importance @ error)


@dataclass(frozen=True)
class Scaled:
    """What was decided for a group.

    Attributes:
        alpha: The exponent.
        zero_points: The integer that stands for 0, by number of the grid.
        widths: Index of the width of the ranges, by number of the grid.
        shared: For each grid a number that grids of one step have in common.
        steps: Step of each grid, by its number.
        channel_scales: Of each class, by its number.
        cost: Expected error at the outputs, relative to their signal.
    """

    alpha: float
    zero_points: dict[int, int]
    widths: dict[int, int]
    shared: dict[int, int]
    steps: dict[int, float]
    channel_scales: dict[int, float]
    cost: float


@dataclass(frozen=True)
class _Group:
    tensors: Sequence[Channels]
    layers: Sequence[WeightError]
    sums: Sequence[Sum]
    qmax: Mapping[int, int]
    names: Ids
    index: Sequence[Ids]
    held: np.ndarray

    @cached_property
    def grids(self) -> list[int]:
        return [t.grid for t in self.tensors]

    @cached_property
    def widths(self) -> Array:
        return self.tensors[0].widths

    def needs(
        self, zero_points: Mapping[int, int], widths: Mapping[int, int] | None
    ) -> list[Array]:
        """Return the least step of each channel, at one width per grid or at all of them."""
        at = (lambda grid: slice(None)) if widths is None else widths.__getitem__
        return [
            least_step(
                t.low[:, at(t.grid)], t.high[:, at(t.grid)], zero_points[t.grid], self.qmax[t.grid]
            )
            for t in self.tensors
        ]

    def errors(
        self,
        steps: Mapping[int, Array],
        scales: Sequence[Array],
        zero_points: Mapping[int, int],
        shared: Mapping[int, int],
        only: frozenset[int] | None = None,
    ) -> dict[int, Array]:
        """Return the expected error of each grid's tensors, shape (...)."""
        exact = {
            out
            for a, b, out in self.sums
            if shared.get(a, a) == shared.get(b, b) == shared.get(out, out)
        }
        found: dict[int, Array] = {}
        for t, scale in zip(self.tensors, scales, strict=True):
            if only is None or t.grid in only:
                step = steps[t.grid] * scale
                error = t.error(
                    step, zero_points[t.grid], self.qmax[t.grid], rounded=t.grid not in exact
                )
                found[t.grid] = found.get(t.grid, 0.0) + error
        return found


def decide(
    group: Sequence[Channels],
    layers: Sequence[WeightError],
    pinned: frozenset[int] = frozenset(),
    sums: Sequence[Sum] = (),
    *,
    bits: Mapping[int, int],
    method: Method,
) -> Scaled:
    """Choose ranges, alpha, zero points and scales of a group of tensors.

    Args:
        group: The tensors, see :class:`Channels`.
        layers: The layers that read them.
        pinned: Classes whose channel scale is 1.
        sums: The Adds among them that run on integers.
        bits: Bits of each grid, by its number.
        method: The choices that there are.
    """
    names = np.unique(np.concatenate([t.classes for t in group]))
    problem = _Group(
        group,
        layers,
        sums,
        {grid: 2**count - 1 for grid, count in bits.items()},
        names,
        [np.searchsorted(names, t.classes) for t in group],
        np.isin(names, list(pinned)),
    )
    best: Scaled | None = None
    for alpha in method.alphas:
        found = _settle(problem, alpha)
        if best is None or found.cost < best.cost * (1 - 1e-9):
            best = found
    assert best is not None
    return _share_steps(problem, best) if method.shared_steps and sums else best


def _settle(group: _Group, alpha: float) -> Scaled:
    """Choose widths and zero points for one alpha: a width for all, then one for each grid."""
    middle = len(group.widths) // 2
    widths = dict.fromkeys(group.grids, middle)
    zero_points = _zero_points(group, alpha, widths)
    every = group.needs(zero_points, None)
    sigma = channel_scales(every, group.grids, group.index, group.held, alpha)
    scales = [sigma[place] for place in group.index]
    errors = group.errors(grid_steps(every, scales, group.grids), scales, zero_points, {})
    common = dict.fromkeys(widths, int(np.sum(list(errors.values()), axis=0).argmin()))
    widths = _own_widths(group, alpha, zero_points, common, every)
    suited = _zero_points(group, alpha, widths)
    if (suited, widths) != (zero_points, common):
        zero_points, every = suited, group.needs(suited, None)
        widths = _own_widths(group, alpha, zero_points, widths, every)
    return _evaluated(group, alpha, zero_points, widths, {})


def _evaluated(
    group: _Group,
    alpha: float,
    zero_points: dict[int, int],
    widths: dict[int, int],
    shared: dict[int, int],
) -> Scaled:
    """Work out what a choice means, and what it costs."""
    needs = group.needs(zero_points, widths)
    sigma = channel_scales(needs, group.grids, group.index, group.held, alpha)
    scales = [sigma[place] for place in group.index]
    steps = grid_steps(needs, scales, group.grids, shared)
    by_name = {int(name): float(s) for name, s in zip(group.names, sigma, strict=True)}
    cost = float(np.sum(list(group.errors(steps, scales, zero_points, shared).values())))
    cost += sum(layer.cost(by_name) for layer in group.layers)
    return Scaled(
        alpha=alpha,
        zero_points=zero_points,
        widths=widths,
        shared=shared,
        steps={grid: float(step) or 1.0 for grid, step in steps.items()},
        channel_scales=by_name,
        cost=cost,
    )


def _own_widths(
    group: _Group,
    alpha: float,
    zero_points: Mapping[int, int],
    widths: Mapping[int, int],
    every: Sequence[Array],
) -> dict[int, int]:
    """Return the best width of each grid, channel scales being those of the given widths.

    ``every`` has the least step of each channel at all widths.
    """
    needs = group.needs(zero_points, widths)
    sigma = channel_scales(needs, group.grids, group.index, group.held, alpha)
    scales = [sigma[place, None] for place in group.index]
    errors = group.errors(grid_steps(every, scales, group.grids), scales, zero_points, {})
    return {grid: int(errors[grid].argmin()) for grid in widths}


def _zero_points(group: _Group, alpha: float, widths: Mapping[int, int]) -> dict[int, int]:
    """Return the zero point of each grid that suits its width."""
    return {grid: _zero_point(group, grid, alpha, width) for grid, width in widths.items()}


def _zero_point(group: _Group, grid: int, alpha: float, width: int) -> int:
    """Return the zero point of one grid with the least rounding error at one width."""
    tensors, qmax = [t for t in group.tensors if t.grid == grid], group.qmax[grid]
    low = np.concatenate([t.low[:, width] for t in tensors])
    if low.min() >= 0:
        return 0
    high = np.concatenate([t.high[:, width] for t in tensors])
    if high.max() <= 0:
        return qmax
    scalar = np.clip(qmax * -low.min() / (high.max() - low.min()), 1, qmax - 1)
    tried = np.append(np.linspace(1, qmax - 1, _ZERO_POINTS), scalar).round()[:, None]
    need = least_step(low, high, tried, qmax)
    steps = need.max(axis=1, keepdims=True) ** (1 - alpha) * need**alpha
    importance = np.concatenate([t.importance for t in tensors])
    return int(tried[(steps**2 @ (importance + 1e-30)).argmin(), 0])


def _share_steps(group: _Group, found: Scaled) -> Scaled:
    """Let operands and results of sums share a step, one sum after the other, where it pays."""
    sigma = np.array([found.channel_scales[int(name)] for name in group.names])
    scales = [sigma[place, None] for place in group.index]
    every = grid_steps(group.needs(found.zero_points, None), scales, group.grids)
    shared = {grid: grid for grid in found.widths}
    widths = dict(found.widths)
    for one in sorted(group.sums, key=lambda one: _apart(found, one)):
        members = {shared[grid] for grid in one}
        if len(members) == 1:
            continue
        joint = frozenset(grid for grid in shared if shared[grid] in members)
        before = _joint_error(group, scales, found, every, widths, shared, joint)
        trial = shared | dict.fromkeys(joint, min(members))
        best: tuple[float, dict[int, int]] | None = None
        limit = min(_limit(group, scales, found, grid) for grid in joint)
        for step in _steps_to_try(every, widths, joint, limit):
            narrowed = widths | {
                grid: max(int(np.searchsorted(every[grid], step * (1 + 1e-9))) - 1, 0)
                for grid in joint
            }
            cost = _joint_error(group, scales, found, every, narrowed, trial, joint)
            if best is None or cost < best[0]:
                best = cost, narrowed
        if best is not None and best[0] < before * (1 - 1e-9):
            shared, widths = trial, best[1]
    result = _evaluated(group, found.alpha, found.zero_points, widths, shared)
    return result if result.cost < found.cost else found


def _apart(found: Scaled, one: Sum) -> float:
    steps = [found.steps[grid] for grid in one]
    return max(steps) / min(steps)


def _steps_to_try(
    every: Mapping[int, Array], widths: Mapping[int, int], joint: frozenset[int], limit: float
) -> Array:
    own = [max(float(every[grid][widths[grid]]), 1e-30) for grid in joint]
    return np.geomspace(min(own), min(max(own), limit), _SHARED_STEPS)


def _limit(group: _Group, scales: Sequence[Array], found: Scaled, grid: int) -> float:
    """Return the largest step of a grid whose end stands for an upper bound."""
    levels = max(group.qmax[grid] - found.zero_points[grid], 1)
    ends = [
        (t.hard_high / scale[:, 0])[t.hard_high > 0]
        for t, scale in zip(group.tensors, scales, strict=True)
        if t.grid == grid and t.saturates
    ]
    return float(np.concatenate([*ends, [np.inf]]).min()) / levels


def _joint_error(
    group: _Group, scales: Sequence[Array], found: Scaled, every: Mapping[int, Array],
    widths: Mapping[int, int], shared: Mapping[int, int], joint: frozenset[int],
) -> float:  # fmt: skip
    largest: dict[int, float] = {}
    for grid in joint:
        step = float(every[grid][widths[grid]])
        largest[shared[grid]] = max(largest.get(shared[grid], 0.0), step)
    steps = {grid: np.array([largest[shared[grid]]]) for grid in joint}
    errors = group.errors(steps, scales, found.zero_points, shared, joint)
    return float(sum(error[0] for error in errors.values()))
