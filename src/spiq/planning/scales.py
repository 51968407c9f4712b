"""Grids and channel scales of a group of tensors that depend on each other.

Tensors whose channels share scales, or that share a grid, are decided together. For a range
lambda and an alpha in [0, 1] the step of channel c becomes

    s_c = R^(1 - alpha) r_c^alpha,     r_c = max(high_c / (qmax - z), -low_c / (z - qmin)),

with R = max_c r_c: alpha 0 is one scalar scale, alpha 1 is SPIQ as published. alpha, and lambda and
the zero point z of each grid, are the ones with the least expected error at the network's outputs,

    sum_t sum_c w_c (s_c^2 / 12 + u_c^2 C(reach_c))  +  weight rounding of the layers that read t,

where w_c is the importance of the channel, u_c its deviation and reach_c the end of its range in
deviations. C(reach) = 1 / (2 reach^4) is the power beyond the end: real channels have heavier
tails than a normal one, and this is what classifiers show at 3 to 10 deviations. The weight of a
layer is rounded per output channel on a step of max_c |W[o,c]| sigma_c / qmax, and that error
meets the deviation of x_c / sigma_c (its mean is corrected by the bias).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from spiq.planning.grid import Grid
from spiq.planning.place import ROUNDS, Placement
from spiq.planning.ranges import Range
from spiq.planning.weight_error import WeightError
from spiq.stats.channel import Array
from spiq.stats.propagate import Measured

LAMBDAS = np.geomspace(2.5, 25.0, 17)
_ZERO_POINTS = 33
_MIDDLE = 10
_SMALLEST_RATIO = 2.0**-10


@dataclass(frozen=True)
class Channels:
    """The channels of one tensor of a group, flat: everything that the choice needs.

    Arrays are of shape (C,), ``low`` and ``high`` of shape (C, L).
    """

    value: ir.Value
    grid: int
    classes: np.ndarray
    low: Array
    high: Array
    mean: Array
    hard_low: Array
    hard_high: Array
    weight: Array
    rounds: bool


@dataclass(frozen=True)
class Scaled:
    """What was decided for a group.

    Attributes:
        grids: Scale and zero point of each grid, by its number.
        sigma: Channel scale of each class, by its number.
        alpha: The exponent that was chosen.
        widths: The lambda of each grid, by its number.
        cost: Expected error at the outputs, relative to their signal.
    """

    grids: dict[int, Grid]
    sigma: dict[int, float]
    alpha: float
    widths: dict[int, float]
    cost: float


@dataclass(frozen=True)
class Candidate:
    """One alpha, evaluated for the lambdas that suit it best."""

    steps: dict[int, float]
    zero_points: dict[int, int]
    sigma: Array
    widths: dict[int, float]
    cost: float


def decide(
    group: Sequence[Channels],
    layers: Sequence[WeightError],
    pinned: frozenset[int] = frozenset(),
    *,
    bits: int,
    alphas: Sequence[float],
) -> Scaled:
    """Choose lambda, alpha, zero points and scales of a group of tensors.

    Args:
        group: The tensors, see :class:`Channels`.
        layers: The layers that read them.
        pinned: Classes whose channel scale is 1.
        bits: Bits of the grids.
        alphas: The exponents to choose from.
    """
    names = np.unique(np.concatenate([t.classes for t in group]))
    index = [np.searchsorted(names, t.classes) for t in group]
    held = np.isin(names, list(pinned))
    best: tuple[float, Candidate] | None = None
    for alpha in alphas:
        found = _candidate(group, index, held, alpha, 2**bits - 1)
        sigma = {int(name): float(s) for name, s in zip(names, found.sigma, strict=True)}
        cost = found.cost + sum(layer.cost(sigma) for layer in layers)
        if best is None or cost < best[1].cost * (1 - 1e-9):
            best = alpha, replace(found, cost=cost)
    assert best is not None
    alpha, chosen = best
    grids = {
        grid: Grid(bits, float(step), chosen.zero_points[grid])
        for grid, step in chosen.steps.items()
    }
    sigma = {int(name): float(s) for name, s in zip(names, chosen.sigma, strict=True)}
    return Scaled(grids, sigma, alpha, chosen.widths, chosen.cost)


def _candidate(
    group: Sequence[Channels],
    index: Sequence[np.ndarray],
    held: np.ndarray,
    alpha: float,
    qmax: int,
) -> Candidate:
    """Evaluate one alpha: sigma for the best common lambda, then the best one for each grid."""
    grids = sorted({t.grid for t in group})
    zero_points = {
        grid: _zero_point([t for t in group if t.grid == grid], alpha, qmax) for grid in grids
    }
    needs = [_need(t.low, t.high, zero_points[t.grid], qmax) for t in group]
    sigma = _sigmas(group, index, needs, held, alpha)
    common = _costs(group, [sigma[place] for place in index], needs, zero_points, qmax)[1]
    chosen = sigma[:, int(np.sum(list(common.values()), axis=0).argmin())]
    per_channel = [chosen[place, None] for place in index]
    steps, costs = _costs(group, per_channel, needs, zero_points, qmax)
    limits = _limits(group, per_channel, needs)
    fits = {grid: steps[grid] * limits[grid][0] <= limits[grid][1] * (1 + 1e-9) for grid in grids}
    best = {grid: int(np.where(fits[grid], costs[grid], np.inf).argmin()) for grid in grids}
    return Candidate(
        {grid: float(steps[grid][best[grid]]) or 1.0 for grid in grids},
        zero_points,
        chosen,
        {grid: float(LAMBDAS[best[grid]]) for grid in grids},
        float(sum(costs[grid][best[grid]] for grid in grids)),
    )


def _limits(
    group: Sequence[Channels], sigmas: Sequence[Array], needs: Sequence[Array]
) -> dict[int, tuple[float, float]]:
    """Return the largest sigma of each grid, and the largest step that its range ever needs.

    The product of scale and sigma must not pass that step: where a bound was absorbed, the end of
    the grid stands for it.
    """
    limits: dict[int, tuple[float, float]] = {}
    for t, sigma, need in zip(group, sigmas, needs, strict=True):
        before = limits.get(t.grid, (0.0, 0.0))
        limits[t.grid] = max(before[0], float(sigma.max())), max(before[1], float(need.max()))
    return limits


def _sigmas(
    group: Sequence[Channels],
    index: Sequence[np.ndarray],
    needs: Sequence[Array],
    held: np.ndarray,
    alpha: float,
) -> Array:
    """Return the channel scale of each class for each lambda, shape (classes, L)."""
    peaks: dict[int, Array] = {}
    for t, need in zip(group, needs, strict=True):
        peaks[t.grid] = np.maximum(peaks.get(t.grid, 0.0), need.max(axis=0))
    ratios = np.full((len(held), len(LAMBDAS)), _SMALLEST_RATIO)
    for t, need, place in zip(group, needs, index, strict=True):
        np.maximum.at(ratios, place, need / np.where(peaks[t.grid] > 0, peaks[t.grid], 1.0))
    return np.where(held[:, None], 1.0, ratios**alpha)


def _costs(
    group: Sequence[Channels],
    sigmas: Sequence[Array],
    needs: Sequence[Array],
    zero_points: Mapping[int, int],
    qmax: int,
) -> tuple[dict[int, Array], dict[int, Array]]:
    """Return step and expected error of each grid for each lambda, shape (L,) each."""
    steps: dict[int, Array] = {}
    for t, need, sigma in zip(group, needs, sigmas, strict=True):
        steps[t.grid] = np.maximum(steps.get(t.grid, 0.0), (need / sigma).max(axis=0))
    costs = {grid: np.zeros(len(LAMBDAS)) for grid in steps}
    for t, sigma in zip(group, sigmas, strict=True):
        costs[t.grid] += _error(t, steps[t.grid] * sigma, zero_points[t.grid], qmax)
    return steps, costs


def _need(low: Array, high: Array, zero_point: Array | int, qmax: int) -> Array:
    """Return the least step at which [low, high] fits; ``zero_point`` broadcasts."""
    up = high / np.maximum(qmax - zero_point, 1e-9)
    return np.maximum(up, -low / np.maximum(zero_point, 1e-9))


def _zero_point(tensors: Sequence[Channels], alpha: float, qmax: int) -> int:
    """Return the best zero point of one grid, found for a middling lambda."""
    low = np.concatenate([t.low[:, _MIDDLE] for t in tensors])
    if low.min() >= 0:
        return 0
    high = np.concatenate([t.high[:, _MIDDLE] for t in tensors])
    if high.max() <= 0:
        return qmax
    scalar = np.clip(qmax * -low.min() / (high.max() - low.min()), 1, qmax - 1)
    tried = np.append(np.linspace(1, qmax - 1, _ZERO_POINTS), scalar).round()[:, None]
    need = _need(low, high, tried, qmax)
    steps = need.max(axis=1, keepdims=True) ** (1 - alpha) * need**alpha
    weight = np.concatenate([t.weight for t in tensors])
    return int(tried[(steps**2 @ (weight + 1e-30)).argmin(), 0])


def _error(t: Channels, step: Array, zero_point: int, qmax: int) -> Array:
    """Return the expected error of one tensor for each lambda, shape (L,)."""
    error = step**2 / 12 if t.rounds else np.zeros_like(step)
    mean = t.mean[:, None]
    error += _clipped(t.high - mean, (qmax - zero_point) * step - mean, t.hard_high - t.mean)
    if t.hard_low.min() < 0:
        error += _clipped(mean - t.low, zero_point * step + mean, t.mean - t.hard_low)
    return t.weight @ error


def _clipped(soft: Array, capacity: Array, hard: Array) -> Array:
    """Return the power beyond ``capacity``; ``soft`` is the range at each lambda."""
    deviation = np.maximum(soft, 0) / LAMBDAS
    reach = np.maximum(capacity / np.maximum(deviation, 1e-30), 1.0)
    beyond = 0.5 * np.square(deviation / np.square(reach))
    return np.where(capacity >= hard[:, None] * (1 - 1e-9), 0.0, beyond)


def gather_channels(
    value: ir.Value, placement: Placement, measured: Measured,
    weights: Mapping[ir.Value, Array], span: Range,
) -> Channels:  # fmt: skip
    """Collect what :func:`decide` needs to know of a tensor."""
    known = measured.stats[value]
    producer = value.producer()
    moved = (
        producer is not None and producer in placement.integer and producer.op_type not in ROUNDS
    )
    return Channels(
        value=value,
        grid=placement.grids[value],
        classes=placement.classes[value].reshape(-1),
        low=span[0].reshape(-1, len(LAMBDAS)),
        high=span[1].reshape(-1, len(LAMBDAS)),
        mean=known.mean.reshape(-1),
        hard_low=known.low.reshape(-1),
        hard_high=known.high.reshape(-1),
        weight=weights[value].reshape(-1),
        rounds=not moved,
    )
