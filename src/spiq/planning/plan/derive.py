"""What ranges, zero points and alpha mean: channel scales and steps of a group of tensors.

The least step at which the range of channel c fits on a grid of 0 .. qmax with zero point z is

    r_c = max(high_c / (qmax - z), -low_c / (z - 0)).

With R the largest r_c of the grid, the channel is divided by sigma_c = (r_c / R)^alpha before it
is stored; where several tensors share the scale of a channel, the largest of theirs counts. The
step of a grid is then max_c r_c / sigma_c. alpha 0 is one scalar scale; alpha 1, where nothing is
shared, gives every channel its own range.

Functions take any number of trailing axes, so that several widths of the ranges are one call.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from spiq.stats.channel import Array

Ids = npt.NDArray[np.int64]

_SMALLEST_RATIO = 2.0**-10


def least_step(low: Array, high: Array, zero_point: Array | int, qmax: int) -> Array:
    """Return the least step at which [low, high] fits on the grid; ``zero_point`` broadcasts."""
    up = high / np.maximum(qmax - zero_point, 1e-9)
    return np.maximum(up, -low / np.maximum(zero_point, 1e-9))


def held_at_one(names: Ids, pinned: Collection[int]) -> npt.NDArray[np.bool_]:
    """Return which of the classes ``names`` are among the pinned ones, of which there are many."""
    found = map(pinned.__contains__, names.reshape(-1).tolist())
    return np.fromiter(found, np.bool_, names.size).reshape(names.shape)


def channel_scales(
    needs: Sequence[Array], grids: Sequence[int], index: Sequence[Ids], held: npt.NDArray[np.bool_],
    alpha: float,
) -> Array:  # fmt: skip
    """Return sigma of each class of channels, shape (classes, ...).

    Args:
        needs: Least step of each channel, for each tensor, shape (C, ...).
        grids: Number of each tensor's grid.
        index: Class of each channel, for each tensor, shape (C,).
        held: Classes whose scale is 1, shape (classes,).
        alpha: The exponent.
    """
    peaks: dict[int, Array] = {}
    for grid, need in zip(grids, needs, strict=True):
        peaks[grid] = np.maximum(peaks.get(grid, 0.0), need.max(axis=0))
    ratios = np.full((len(held), *needs[0].shape[1:]), _SMALLEST_RATIO)
    for grid, need, place in zip(grids, needs, index, strict=True):
        np.maximum.at(ratios, place, need / np.where(peaks[grid] > 0, peaks[grid], 1.0))
    ratios[held] = 1.0
    return np.asarray(ratios**alpha)


def grid_steps(
    needs: Sequence[Array],
    sigma: Sequence[Array],
    grids: Sequence[int],
    shared: Mapping[int, int] | None = None,
    *,
    powers_of_two: bool = False,
) -> dict[int, Array]:
    """Return the step of each grid: what the neediest channel of its tensors asks for.

    Args:
        needs: Least step of each channel, for each tensor, shape (C, ...).
        sigma: Channel scale of each channel, for each tensor, of the same shape.
        grids: Number of each tensor's grid.
        shared: For grids that share a step, a number in common.
        powers_of_two: Steps are the next larger powers of two.
    """
    shared = shared or {}
    joint: dict[int, Array] = {}
    for grid, need, scale in zip(grids, needs, sigma, strict=True):
        step, number = (need / scale).max(axis=0), shared.get(grid, grid)
        joint[number] = np.maximum(joint.get(number, 0.0), step)
    if powers_of_two:
        joint = {number: next_power(step) for number, step in joint.items()}
    return {grid: joint[shared.get(grid, grid)] for grid in grids}


def next_power(step: Array) -> Array:
    """Return the least power of two that is not below a step; 0 stays.

    >>> next_power(np.array([0.3, 0.5, 0.0]))
    array([0.5, 0.5, 0. ])
    """
    positive = np.maximum(step, 1e-30)
    return np.where(step > 0, 2.0 ** np.ceil(np.log2(positive) - 1e-6), 0.0)
