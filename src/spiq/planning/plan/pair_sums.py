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

MOST_BITS = 7
"""Of weights that any two may be neighbours of."""

_MOST = (2**15 - 1) // (2**8 - 1)
"""What two weights may come to."""


def largest_pairs(split: np.ndarray) -> Array:
    """Return the largest magnitude that two neighbours come to, shape (g, O/g).

    >>> largest_pairs(np.array([3.0, 4.0, -5.0, 2.0]).reshape(1, 1, 4, 1))
    array([[7.]])

    Args:
        split: A weight, shape (groups, outputs per group, inputs per group, taps).
    """
    largest, rows = np.zeros(split.shape[:2]), _rows(split)
    for start in _starts(split):
        first, second = rows[..., start:-1:2], rows[..., start + 1 :: 2]
        np.maximum(largest, np.abs(first + second).max(axis=2, initial=0), out=largest)
    return largest


def without_overflow(split: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Return integers no two neighbours of which come to too much, the larger of them made smaller.

    >>> without_overflow(np.array([100, 40, 60, 60], np.int8).reshape(1, 1, 4, 1)).reshape(-1)
    array([88, 40, 60, 60], dtype=int8)

    Args:
        split: A weight in steps, of the same shape.
    """
    groups, outputs, inputs, taps = split.shape
    rows = _rows(split).astype(np.int16)
    for start in _starts(split):
        pairs = np.stack([rows[..., start:-1:2], rows[..., start + 1 :: 2]])
        excess = np.maximum(np.abs(pairs.sum(axis=0)) - _MOST, 0)
        less = np.sign(pairs) * excess
        second = np.abs(pairs[1]) > np.abs(pairs[0])
        rows[..., start:-1:2] -= np.where(second, 0, less[0])
        rows[..., start + 1 :: 2] -= np.where(second, less[1], 0)
    return rows.astype(np.int8).reshape(groups, outputs, taps, inputs).swapaxes(2, 3)


def _rows(split: np.ndarray) -> np.ndarray:
    """Return what the kernels read of a weight one after the other, shape (g, O/g, K C/g)."""
    return split.swapaxes(2, 3).reshape(*split.shape[:2], -1)


def _starts(split: np.ndarray) -> tuple[int, ...]:
    """Return where the first neighbours may be."""
    _, outputs, inputs, taps = split.shape
    if outputs == inputs == 1 or inputs * taps == 1:
        return ()
    return (0, 1) if inputs % 2 and taps > 1 else (0,)
