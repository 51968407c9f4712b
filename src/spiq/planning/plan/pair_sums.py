"""Weights of 8 bits where the sum of two products has 16.

x86 CPUs without VNNI multiply unsigned bytes by signed ones and add neighbouring products in 16
bits, which saturate (``vpmaddubsw``): beside activations of up to 255, two weights may come to 128
together. Halving all weights would cost a bit. Instead, a row's step is such that no two neighbours
come to more, which weights seldom do that are both large and of one sign.

Neighbours are the first and the second, the third and the fourth and so on of a row as ONNX
Runtime's kernels read it: channels first, then taps. Where channels are odd in number they may be
padded, so any two beside each other are taken for neighbours there. Depthwise convolutions have
kernels of their own, which sum in 32 bits.
"""

import numpy as np
import numpy.typing as npt

from spiq.stats.channel import Array
from spiq.stats.rules.linear import in_the_cache
from spiq.targets import Weights

_FREE = 7
"""Bits of weights any two of which come to less."""

_MOST = (2**15 - 1) // (2**8 - 1)
"""What two weights may come to."""


def is_bound(bits: int, form: Weights) -> bool:
    """Return whether weights of so many bits have to heed their neighbours."""
    return form.narrow_sums and bits > _FREE


def row_steps(split: np.ndarray, bits: int, form: Weights) -> Array:
    """Return the least step of each row that cuts off and saturates nothing, shape (g, O/g).

    Args:
        split: A weight, shape (groups, outputs per group, inputs per group, taps).
        bits: Of its integers.
        form: What the target wants weights to look like.
    """
    largest = np.maximum(split.max(axis=(2, 3)), -split.min(axis=(2, 3))).astype(np.float64)
    if is_bound(bits, form):
        largest = np.maximum(largest, largest_pairs(split))
    return np.asarray(largest / (2 ** (bits - 1) - 1))


def largest_pairs(split: np.ndarray) -> Array:
    """Return the largest magnitude that two neighbours come to, shape (g, O/g).

    >>> largest_pairs(np.array([3.0, 4.0, -5.0, 2.0]).reshape(1, 1, 4, 1))
    array([[7.]])

    Args:
        split: A weight, shape (groups, outputs per group, inputs per group, taps).
    """
    largest = np.zeros(split.shape[:2])
    if split.shape[1] == split.shape[2] == 1:
        return largest
    for part in in_the_cache(split):
        rows, starts = _laid_out(split[:, part])
        for start in starts:
            sums = rows[:, :, start:-1:2] + rows[:, :, start + 1 :: 2]
            flat = sums.reshape(*rows.shape[:2], -1)
            for end in (flat.max(axis=2, initial=0), -flat.min(axis=2, initial=0)):
                np.maximum(largest[:, part], end, out=largest[:, part])
    return largest


def without_overflow(split: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Return integers no two neighbours of which come to too much, the larger of them made smaller.

    >>> without_overflow(np.array([100, 40, 60, 60], np.int8).reshape(1, 1, 4, 1)).reshape(-1)
    array([88, 40, 60, 60], dtype=int8)

    Args:
        split: A weight in steps, of the same shape.
    """
    wide = split.astype(np.int16)
    over = largest_pairs(wide) > _MOST
    if not over.any():
        return split
    rows, starts = _laid_out(wide[over][None])
    rows = np.ascontiguousarray(rows)
    for start in starts:
        first, second = rows[:, :, start:-1:2], rows[:, :, start + 1 :: 2]
        excess = np.maximum(np.abs(first + second) - _MOST, 0)
        swap = np.abs(second) > np.abs(first)
        first -= np.where(swap, 0, np.sign(first) * excess)
        second -= np.where(swap, np.sign(second) * excess, 0)
    made = split.copy()
    inputs, taps = split.shape[2:]
    made[over] = rows.reshape(-1, taps, inputs).swapaxes(1, 2) if len(starts) > 1 else rows[0]
    return made


def _laid_out(split: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return a weight so that neighbours lie beside each other along axis 2, and where they begin.

    Where channels are even in number, no neighbours are of different taps: nothing is moved.
    """
    if split.shape[2] % 2 == 0 or split.shape[3] == 1:
        return split, (0,)
    return split.swapaxes(2, 3).reshape(*split.shape[:2], -1, 1), (0, 1)
