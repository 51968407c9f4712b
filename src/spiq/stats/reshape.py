"""Maps of Reshape and Flatten, see :mod:`spiq.stats.routing`.

A Reshape turns runs of axes into other runs that hold equally many elements. A run over which
channels do not vary stays alike. Any other run is spread out in full, and axes of the result
along which nothing varies are alike again. Where that tells pixels apart that were alike before
(axes from the third on), or where sizes are unknown, what lies along these axes is mixed. So it is
where rows become an image that a convolution reads, which has a factor per channel and no more.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.graph.query import data_inputs, dims
from spiq.graph.runs import runs
from spiq.stats.maps import Map, without_copies

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
    spread, shape, lost, pixels = _sizes(entry.shape, groups)
    front = [spread[axis] for axis in lost]
    if math.prod(spread) > _MOST or math.prod(spread) != math.prod(front + shape):
        return None  # too large, or an unknown size is not what it was taken for
    full = np.broadcast_to(entry, spread)
    made = np.moveaxis(full, lost, range(len(lost))).reshape(front + shape)
    for axis in pixels:
        first = made.take([0], axis + len(lost))
        made = first if (made == first).all() else made
    mixed = _mixed(node, made.shape[len(lost) :], pixels)
    return _Spread(made, len(lost), [*range(len(lost)), *(axis + len(lost) for axis in mixed)])


def _sizes(
    layout: tuple[int, ...], groups: Iterable[tuple[Sequence[int | None], Sequence[int | None]]]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return how runs of axes are spread out.

    Returns:
        The sizes that entries are spread out to, those of the result, the axes in front that have
        no place in it, and its axes along which entries were alike and may no longer be.
    """
    spread: list[int] = []
    shape: list[int] = []
    lost: list[int] = []
    pixels: list[int] = []
    for old, new in groups:
        own = list(layout[len(spread) : len(spread) + len(old)])
        if all(size == 1 for size in own):
            shape += [1] * len(new)
        elif None in old or None in new:
            lost += range(len(spread), len(spread) + len(old))
            shape += [1] * len(new)
        else:
            pixels += range(len(shape), len(shape) + len(new)) if own != list(old) else ()
            shape += [size for size in new if size is not None]
            own = [size for size in old if size is not None]
        spread += own
    return spread, shape, lost, pixels


def _mixed(node: ir.Node, sizes: Sequence[int], pixels: Sequence[int]) -> list[int]:
    """Return the axes of the result, of such sizes, along which entries are to be mixed."""
    before, after = (len(dims(value) or ()) for value in (node.inputs[0], node.outputs[0]))
    if before == 2 < after and _feeds_convolution(node.outputs[0]):
        return [axis for axis in range(2, len(sizes)) if sizes[axis] > 1]
    varied = [axis for axis in pixels if axis > 1 and sizes[axis] > 1]
    to_rows = node.op_type == "Reshape" and after == 2 < before
    # rows of a matrix, and its columns are channels
    return [0, *varied] if to_rows and sizes[0] > 1 else varied


_STEPS = 3
"""Operators between rows that become an image, as in a decoder, and its first convolution."""


def _feeds_convolution(value: ir.Value, steps: int = _STEPS) -> bool:
    """Return whether a convolution reads a tensor, behind a few operators of one input or not."""
    for node in value.consumers():
        if node.op_type in ("Conv", "ConvTranspose"):
            return True
        alone = len(data_inputs(node)) == 1 and node.op_type not in ("Flatten", "Reshape")
        if steps and alone and _feeds_convolution(node.outputs[0], steps - 1):
            return True
    return False
