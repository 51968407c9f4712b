"""What a map from output to input entries is, see :mod:`spiq.stats.routing`."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Layout = tuple[int, ...]
Map = npt.NDArray[np.int64]
ZERO = -1
"""The entry of what no data input shows."""

Mover = Callable[[ir.Node, list[Map]], list[Map] | None]
"""Takes the numbered entries of the inputs; returns one map per output, if there is one."""

Mixer = Callable[[ir.Node, list[Map]], Map | None]
"""The same for a mixture: one map of shape (K, *layout)."""

MOST = 1 << 15
"""Entries up to which a layout is kept apart. Each has its moments, and a range for every width;
the features of VGG before its first Gemm are 25088, the numbers of a detector's boxes millions."""


def crowded(layout: Layout) -> tuple[int, ...]:
    """Return the axes to merge, the longest first, until at most ``MOST`` entries are left.

    >>> crowded((1, 512, 7, 7)), crowded((1, 10800, 85))
    ((), (1,))
    """
    axes: list[int] = []
    longest = sorted(range(len(layout)), key=lambda axis: layout[axis])
    while math.prod(layout[axis] for axis in longest) > MOST:
        axes.append(longest.pop())
    return tuple(sorted(axes))


def merge(mixed: Map) -> Map:
    """Return a mixture (K, *layout) whose layout has at most ``MOST`` entries."""
    axes = crowded(mixed.shape[1:])
    if not axes:
        return mixed
    layout = [1 if axis in axes else size for axis, size in enumerate(mixed.shape[1:])]
    front = np.moveaxis(mixed, [axis + 1 for axis in axes], range(len(axes)))
    return without_copies(front.reshape(-1, *layout))


def without_copies(mixed: Map) -> Map:
    """Return the least mixture (K, *layout) that shows the same entries in the same shares."""
    thinned = _thinned(mixed)
    ordered = _thinned(np.sort(thinned, axis=0))
    return ordered if len(ordered) < len(thinned) else thinned


def _thinned(mixed: Map) -> Map:
    """Leave out what is repeated in rows, if that is so everywhere equally often."""
    rows = mixed.reshape(len(mixed), -1)
    changes = np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1
    return mixed[:: int(np.gcd.reduce(np.append(changes, len(mixed))))]
