"""Maps of Reshape and Flatten, see :mod:`spiq.stats.routing`.

A Reshape turns runs of axes into other runs that hold equally many elements. A run over which
channels do not vary stays alike. Any other run is spread out in full, and axes of the result
along which nothing varies are alike again. Where that tells pixels apart that were alike before
(axes from the third on), or where sizes are unknown, what lies along these axes is mixed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.graph.query import dims
from spiq.stats.maps import Map, without_copies

Sizes = list[int | None]

_MOST = 1 << 23
"""Entries up to which a tensor is spread out."""


def reshape(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    """Give every entry its place, if each has one."""
    found = _spread(node, inputs[0])
    return None if found is None or found.mixed else [found.entry]


def reshape_mixture(node: ir.Node, inputs: list[Map]) -> Map | None:
    """Keep the axes that have an exact map, and mix what lies along the others."""
    found = _spread(node, inputs[0])
    if found is None:
        return None
    shape = [1 if axis in found.mixed else n for axis, n in enumerate(found.entry.shape)]
    mixed = np.moveaxis(found.entry, found.mixed, range(len(found.mixed)))
    return without_copies(mixed.reshape(-1, *shape[found.lost :]))


@dataclass(frozen=True)
class _Spread:
    """A tensor's entries where a Reshape puts them.

    Attributes:
        entry: The map; in front of its axes are those that have no place in the output.
        lost: How many these are.
        mixed: Axes along which entries are to be mixed, those in front included.
    """

    entry: Map
    lost: int
    mixed: Sequence[int]


def _spread(node: ir.Node, entry: Map) -> _Spread | None:
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    groups = runs(before, after) if before is not None and after is not None else None
    if groups is None or before is None or len(before) != entry.ndim:
        return None
    spread: list[int] = []
    shape: list[int] = []
    lost: list[int] = []
    pixels: list[int] = []
    for old, new in groups:
        own = list(entry.shape[len(spread) : len(spread) + len(old)])
        if all(size == 1 for size in own):
            shape += [1] * len(new)
        elif None in old or None in new:
            lost += range(len(spread), len(spread) + len(old))
            shape += [1] * len(new)
        else:
            pixels += range(len(shape), len(shape) + len(new)) if own != old else ()
            shape += [size for size in new if size is not None]
            own = [size for size in old if size is not None]
        spread += own
    if math.prod(spread) > _MOST:
        return None
    full = np.broadcast_to(entry, spread)
    front = [spread[axis] for axis in lost]
    made = np.moveaxis(full, lost, range(len(lost))).reshape(front + shape)
    for axis in pixels:
        first = made.take([0], axis + len(lost))
        made = first if (made == first).all() else made
    varied = [axis for axis in pixels if axis > 1 and made.shape[axis + len(lost)] > 1]
    return _Spread(made, len(lost), [*range(len(lost)), *(axis + len(lost) for axis in varied)])


def runs(before: Sizes, after: Sizes) -> list[tuple[Sizes, Sizes]] | None:
    """Split two shapes of one tensor into the shortest runs that hold equally many elements.

    Two unknown sizes in the same place are taken for one, as of a batch, unless sizes are left over
    in the end. Where an unknown size keeps runs from being told apart, what is equal at the end is
    a run each, and all before it is one.

    >>> runs([None, 50, 64], [None, 64])
    [([None, 50], [None]), ([64], [64])]
    """
    groups: list[tuple[Sizes, Sizes]] = []
    i = j = 0
    while i < len(before) and j < len(after):
        ends = _run(before[i:], after[j:])
        if ends is None:
            return _with_equal_ends(groups, before[i:], after[j:])
        groups.append((before[i : i + ends[0]], after[j : j + ends[1]]))
        i, j = i + ends[0], j + ends[1]

    left = [*before[i:], *after[j:]]
    unknown = bool(groups) and None in (*groups[-1][0], *groups[-1][1])
    if not unknown and any(size != 1 for size in left):
        return None
    if groups:
        groups[-1] = (groups[-1][0] + before[i:], groups[-1][1] + after[j:])
    return groups


def _with_equal_ends(
    groups: list[tuple[Sizes, Sizes]], before: Sizes, after: Sizes
) -> list[tuple[Sizes, Sizes]]:
    """Add one run for what cannot be told apart, and one for each size that is equal at the end."""
    equal = 0
    for size, other in zip(before[::-1], after[::-1], strict=False):
        if size is None or size != other:
            break
        equal += 1
    old, new = before[: len(before) - equal], after[: len(after) - equal]
    if groups and not (old and new):
        groups[-1] = (groups[-1][0] + old, groups[-1][1] + new)
    elif not (old and new):
        return [(before, after)]
    else:
        groups.append((old, new))
    return [*groups, *(([size], [size]) for size in before[len(before) - equal :])]


def _run(before: Sizes, after: Sizes) -> tuple[int, int] | None:
    """Return how many sizes of either shape the first run takes; None if sizes are unknown."""
    if before[0] is None and after[0] is None:
        return 1, 1
    if before[0] is None or after[0] is None:
        return None
    left, right, i, j = before[0], after[0], 1, 1
    while left != right:
        grow_old = left < right
        side, at = (before, i) if grow_old else (after, j)
        size = side[at] if at < len(side) else None
        if size is None:
            return None
        if grow_old:
            left, i = left * size, i + 1
        else:
            right, j = right * size, j + 1
    return i, j
