"""What ranges, zero points and alpha mean: channel scales and steps of a group of tensors.

The least step at which the range of channel c fits on a grid of 0 .. qmax with zero point z is

    r_c = max(high_c / (qmax - z), -low_c / (z - 0)).

With R the largest r_c of the grid, the channel is divided by sigma_c = (r_c / R)^alpha before it
is stored; where several tensors share the scale of a channel, the largest of theirs counts. The
step of a grid is then max_c r_c / sigma_c. alpha 0 is one scalar scale; alpha 1, where nothing is
shared, gives every channel its own range.

Where steps have to be powers of two, all scales of a group are multiplied by one more number: what
lies between layers may be stored in any unit, so a grid may still end where its range does, at the
6 of a ReLU6, say. A group with one step fits exactly; with several, as well as may be. Where that
is not exact, and where scales are held at 1, a step is the next larger power, or the next smaller
one where the grid's end stands for a bound that must not be passed.

Functions take any number of trailing axes, so that several widths of the ranges are one call.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from spiq.planning.placement.components import Ids
from spiq.stats.channel import Array

_SMALLEST_RATIO = 2.0**-10

_NEARLY = 1e-5
"""By how much the logarithm of a power of two may be off: plans hold six digits."""


def least_step(low: Array, high: Array, zero_point: Array | int, qmax: int) -> Array:
    """Return the least step at which [low, high] fits on the grid; ``zero_point`` broadcasts.

    Args:
        low: Low end of the range, at most 0, of any shape.
        high: High end, at least 0, of the same shape.
        zero_point: The integer that stands for 0; it broadcasts.
        qmax: The greatest integer; the least is 0.
    """
    up = high / np.maximum(qmax - zero_point, 1e-9)
    return np.maximum(up, -low / np.maximum(zero_point, 1e-9))


def held_at_one(names: Ids, pinned: Collection[int]) -> npt.NDArray[np.bool_]:
    """Return which of the classes ``names`` are among the pinned ones, of which there are many."""
    found = map(pinned.__contains__, names.reshape(-1).tolist())
    return np.fromiter(found, np.bool_, names.size).reshape(names.shape)


def channel_scales(
    needs: Sequence[Array], grids: Sequence[int], index: Sequence[Ids], held: npt.NDArray[np.bool_],
    alpha: float, *, powers_of_two: bool,
) -> Array:  # fmt: skip
    """Return sigma of each class of channels, shape (classes, ...).

    Args:
        needs: Least step of each channel, for each tensor, shape (C, ...).
        grids: Number of each tensor's grid.
        index: Class of each channel, for each tensor, shape (C,).
        held: Classes whose scale is 1, shape (classes,).
        alpha: The exponent.
        powers_of_two: Whether the steps will have to be.
    """
    peaks: dict[int, Array] = {}
    for grid, need in zip(grids, needs, strict=True):
        peaks[grid] = np.maximum(peaks.get(grid, 0.0), need.max(axis=0))
    ratios = np.full((len(held), *needs[0].shape[1:]), _SMALLEST_RATIO)
    for grid, need, place in zip(grids, needs, index, strict=True):
        ratio = need / np.where(peaks[grid] > 0, peaks[grid], 1.0)
        if np.bincount(place, minlength=1).max() > 1:
            np.maximum.at(ratios, place, ratio)
        else:  # the same, in a tenth of the time
            ratios[place] = np.maximum(ratios[place], ratio)
    ratios[held] = 1.0
    sigma = np.asarray(ratios**alpha)
    return sigma * unit(needs, grids, index, sigma) if powers_of_two and not held.any() else sigma


def unit(needs: Sequence[Array], grids: Sequence[int], index: Sequence[Ids], sigma: Array) -> Array:
    """Return what to multiply scales by for steps that are nearly powers of two, shape (...).

    Args:
        needs: Least step of each channel, for each tensor, shape (C, ...).
        grids: Number of each tensor's grid.
        index: Class of each channel, for each tensor, shape (C,).
        sigma: Channel scale of each class, shape (classes, ...).
    """
    steps = grid_steps(needs, [sigma[place] for place in index], grids).values()
    sizes = np.log2(np.maximum(np.array(list(steps)), 1e-30))
    units = sizes - np.ceil(sizes)  # of which each makes one step a power
    excess = np.ceil(sizes[None] - units[:, None] - _NEARLY) - (sizes[None] - units[:, None])
    best = excess.sum(axis=1).argmin(axis=0)
    return np.asarray(2.0 ** np.take_along_axis(units, best[None], axis=0)[0])


def grid_steps(
    needs: Sequence[Array],
    sigma: Sequence[Array],
    grids: Sequence[int],
    shared: Mapping[int, int] | None = None,
    *,
    powers_of_two: bool = False,
    capped: Collection[int] = (),
) -> dict[int, Array]:
    """Return the step of each grid: what the neediest channel of its tensors asks for.

    Args:
        needs: Least step of each channel, for each tensor, shape (C, ...).
        sigma: Channel scale of each channel, for each tensor, of the same shape.
        grids: Number of each tensor's grid.
        shared: For grids that share a step, a number in common.
        powers_of_two: Steps are the next larger powers of two.
        capped: Grids whose end stands for a bound; theirs are the next smaller ones then.
    """
    shared = shared or {}
    joint: dict[int, Array] = {}
    for grid, need, scale in zip(grids, needs, sigma, strict=True):
        step, number = (need / scale).max(axis=0), shared.get(grid, grid)
        joint[number] = np.maximum(joint.get(number, 0.0), step)
    if powers_of_two:
        low = {shared.get(grid, grid) for grid in capped}
        power = {number: last_power if number in low else next_power for number in joint}
        joint = {number: power[number](step) for number, step in joint.items()}
    return {grid: joint[shared.get(grid, grid)] for grid in grids}


def last_power(step: Array) -> Array:
    """Return the greatest power of two that is not above a step; 0 stays.

    >>> last_power(np.array([0.3, 0.5, 0.0]))
    array([0.25, 0.5 , 0.  ])
    """
    positive = np.maximum(step, 1e-30)
    return np.where(step > 0, 2.0 ** np.floor(np.log2(positive) + _NEARLY), 0.0)


def next_power(step: Array) -> Array:
    """Return the least power of two that is not below a step; 0 stays.

    >>> next_power(np.array([0.3, 0.5, 0.0]))
    array([0.5, 0.5, 0. ])
    """
    positive = np.maximum(step, 1e-30)
    return np.where(step > 0, 2.0 ** np.ceil(np.log2(positive) - _NEARLY), 0.0)


def next_half(step: Array) -> Array:
    """Return the least number of half precision that is not below a step, and is above 0.

    The largest that is finite stands for all beyond.

    >>> next_half(np.array([0.1, 0.5, 1e-12, 1e9])).tolist()
    [0.10003662109375, 0.5, 5.960464477539063e-08, 65504.0]
    """
    near = np.minimum(step, float(np.finfo(np.float16).max)).astype(np.float16)
    above = np.where(near < step, np.nextafter(near, np.finfo(np.float16).max), near)
    least: np.float16 = np.finfo(np.float16).smallest_subnormal
    return np.asarray(np.maximum(above, least), np.float64)
