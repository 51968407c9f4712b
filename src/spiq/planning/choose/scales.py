"""The choice of ranges, zero points and channel scales of a group of tensors.

Tensors whose channels share scales, or that share a grid, are decided together. Chosen are alpha,
and for each grid the width lambda of its ranges and the zero point; what follows from them, and
what it costs, is in :mod:`spiq.planning.choose.group`. Alpha 0 is one scalar scale per tensor,
alpha 1 is SPIQ as published. The choice is the one with the least expected error at the network's
outputs.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from spiq.methods.method import Method
from spiq.planning.choose.group import Grids, Group, Scaled
from spiq.planning.choose.shared_steps import share_steps
from spiq.planning.plan.derive import least_step
from spiq.stats.channel import Array

_ZERO_POINTS = 33


def decide(group: Group, method: Method) -> Scaled:
    """Choose ranges, alpha, zero points and scales of a group of tensors.

    Args:
        group: The tensors.
        method: The choices that there are.
    """
    best = group.evaluated(_settled(group, method.alphas[0]))
    for alpha in method.alphas[1:]:
        settled = group.evaluated(_settled(group, alpha))
        if settled.cost < best.cost * (group.worth if best.alpha == 0 else 1 - 1e-9):
            best = settled
    return share_steps(group, best) if method.shared_steps and group.sums else best


def _settled(group: Group, alpha: float) -> Grids:
    """Choose widths and zero points for one alpha: a width for all, then one for each grid."""
    # zero points that suit a middling width
    middle = len(group.widths) // 2
    widths = dict.fromkeys(group.grids, middle)
    zero_points = _zero_points(group, alpha, widths)

    # the one width with the least error over all grids
    every = group.needs(zero_points, None)
    sigma = group.spread(group.sigma(every, alpha))
    errors = group.errors(group.steps(every, sigma), sigma, zero_points, {})
    common = dict.fromkeys(widths, int(np.sum(list(errors.values()), axis=0).argmin()))

    # a width for each grid; and once more where that moves zero points or channel scales
    scaled = alpha > 0  # or else they are 1 whatever the widths, and errors what they were
    widths = _least(errors) if not scaled else _own_widths(group, alpha, zero_points, common, every)
    suited = _zero_points(group, alpha, widths)
    if suited != zero_points or (scaled and widths != common):
        zero_points, every = suited, group.needs(suited, None)
        widths = _own_widths(group, alpha, zero_points, widths, every)
    return Grids(alpha, zero_points, widths, {})


def _own_widths(
    group: Group,
    alpha: float,
    zero_points: Mapping[int, int],
    widths: Mapping[int, int],
    every: Sequence[Array],
) -> dict[int, int]:
    """Return the best width of each grid, channel scales being those of the given widths.

    ``every`` has the least step of each channel at all widths.
    """
    needs = group.needs(zero_points, widths)
    sigma = group.spread(group.sigma(needs, alpha), wide=True)
    errors = group.errors(group.steps(every, sigma), sigma, zero_points, {})
    return _least(errors)


def _least(errors: Mapping[int, Array]) -> dict[int, int]:
    """Return the width of each grid with the least error."""
    return {grid: int(error.argmin()) for grid, error in errors.items()}


def _zero_points(group: Group, alpha: float, widths: Mapping[int, int]) -> dict[int, int]:
    """Return the zero point of each grid that suits its width."""
    return {grid: _zero_point(group, grid, alpha, width) for grid, width in widths.items()}


def _zero_point(group: Group, grid: int, alpha: float, width: int) -> int:
    """Return the zero point of one grid with the least rounding error at one width."""
    # in the middle where the target wants it there; where all is on one side, that end
    tensors, qmax = [t for t in group.tensors if t.grid == grid], group.qmax[grid]
    if group.form.symmetric:
        return (qmax + 1) // 2
    low = np.concatenate([t.low[:, width] for t in tensors])
    if low.min() >= 0:
        return 0
    high = np.concatenate([t.high[:, width] for t in tensors])
    if high.max() <= 0:
        return qmax

    # tried are points along the grid, and the one that suits the joint range
    scalar = np.clip(qmax * -low.min() / (high.max() - low.min()), 1, qmax - 1)
    tried = np.append(np.linspace(1, qmax - 1, _ZERO_POINTS), scalar).round()[:, None]

    # the step of channel c is R (r_c / R)^alpha, if no other tensor shares its scale
    need = least_step(low, high, tried, qmax)
    importance = np.concatenate([t.importance for t in tensors])
    powers = need ** (2 * alpha) @ (importance + 1e-30)
    return int(tried[(need.max(axis=1) ** (2 - 2 * alpha) * powers).argmin(), 0])
