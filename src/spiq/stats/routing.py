"""Operators that only move data, as maps from output channels to input channels.

Such an operator computes nothing, so its statistics, its classes of channels that share a scale,
and the importance of its inputs all follow from one map: for each entry of the output's layout,
the index of the entry of the (concatenated, flattened) input layouts that it shows, or -1 for the
zeros of a Pad and for constants. A layout is a shape with size 1 along axes over which channels do
not vary, see :class:`spiq.stats.channel.ChannelStats`.

Where channels are mixed (DepthToSpace, a Reshape that merges them with space), an entry of the
output shows several entries of the inputs, each equally often: their *mixture*. What is known of
single channels ends there, and what is known of all of them together goes on. So it is where a
layout would have too many entries, as the boxes of a detector in a row have: what lies along its
longest axes is mixed.
"""

import logging
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from spiq.graph.query import is_constant, rank, where
from spiq.stats.channel import Array
from spiq.stats.maps import MOST, ZERO, Layout, Map, merge
from spiq.stats.movers import MIXERS, MOVERS

_log = logging.getLogger(__name__)


def route(node: ir.Node, layouts: Sequence[Layout]) -> list[Map] | None:
    """Return one map per output of ``node``; None where it is no mover or has no exact map.

    Nor has it one where that would have more entries than are kept apart.

    Args:
        node: Any node.
        layouts: The layout of each data input, in order. Entries that show a constant are -1.
    """
    inputs = _with_constants(node, layouts)
    return None if inputs is None else _exact(node, inputs)


def route_of_all(node: ir.Node, layouts: Sequence[Layout]) -> list[Map] | None:
    """Return one map per output, where constants among the inputs have entries, too.

    Args:
        node: Any node.
        layouts: The layout of each input, constants included.
    """
    return _exact(node, _numbered(layouts))


def mixture(node: ir.Node, layouts: Sequence[Layout]) -> list[Map] | None:
    """Return what each output of a mover shows: maps of shape (K, *layout), for K entries each.

    For movers that have no exact map, see :func:`route`. None where ``node`` is no mover, or the
    rank of an output is unknown.

    Args:
        node: Any node.
        layouts: The layout of each input that is moved, in order.
    """
    sizes = [rank(value) for value in node.outputs]
    if node.domain != "" or node.op_type not in MOVERS or not layouts:
        return None
    inputs = _numbered(layouts)
    rule = MIXERS.get(node.op_type)
    mixed = rule(node, inputs) if rule is not None else None
    if mixed is not None:
        return [merge(mixed)]
    whole = _with_constants(node, layouts) or (inputs if node.op_type == "Concat" else [])
    routed = _routed(node, whole)
    if routed is not None:
        return [merge(entry[None]) for entry in routed]
    every = np.concatenate([entry.reshape(-1) for entry in inputs])
    known = [size for size in sizes if size is not None]
    return [every.reshape(-1, *(1,) * size) for size in known] if len(known) == len(sizes) else None


def _with_constants(node: ir.Node, layouts: Sequence[Layout]) -> list[Map] | None:
    """Number the entries of data inputs; those of constants between them are ``ZERO``."""
    constants = [is_constant(value) for value in node.inputs]
    numbered = iter(_numbered(layouts))
    if node.op_type != "Concat":
        return None if constants[:1] == [True] else list(numbered)
    if len(layouts) + sum(constants) != len(node.inputs):
        return None
    fixed = np.full((1,) * (len(layouts[0]) if layouts else 0), ZERO)
    return [fixed if is_fixed else next(numbered) for is_fixed in constants]


def _exact(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    maps = _routed(node, inputs)
    return None if maps is None or any(entry.size > MOST for entry in maps) else maps


def _numbered(layouts: Sequence[Layout]) -> list[Map]:
    start, indices = 0, []
    for layout in layouts:
        count = int(np.prod(layout))
        indices.append(np.arange(start, start + count, dtype=np.int64).reshape(layout))
        start += count
    return indices


def _routed(node: ir.Node, inputs: list[Map]) -> list[Map] | None:
    rule = MOVERS.get(node.op_type) if node.domain == "" else None
    if rule is None or not inputs:
        return None
    try:
        return rule(node, inputs)
    except (IndexError, TypeError, ValueError) as error:  # what does not belong together
        _log.info("%s is given no map: %s", where(node), error)
        return None


def gather(entry: Map, arrays: Sequence[Array], zero: float = 0.0) -> Array:
    """Read ``arrays`` (one per data input, in their layouts) through a map.

    Args:
        entry: The map, in the output's layout.
        arrays: One per data input, in their layouts.
        zero: What is read where the map has :data:`spiq.stats.maps.ZERO`.
    """
    flat = np.concatenate([*(array.reshape(-1) for array in arrays), [zero]])
    return flat[entry]


def scatter(entry: Map, values: Array, layouts: Sequence[Layout]) -> list[Array]:
    """Add ``values`` (in the output's layout) up where a map reads them: gather's transpose.

    Args:
        entry: The map.
        values: In the output's layout.
        layouts: Those of the data inputs.

    Returns:
        An array per data input, in its layout.
    """
    sizes = [int(np.prod(layout)) for layout in layouts]
    total = np.zeros(sum(sizes) + 1)
    np.add.at(total, entry, values)
    ends = np.cumsum(sizes)
    return [
        total[end - size : end].reshape(layout)
        for end, size, layout in zip(ends, sizes, layouts, strict=True)
    ]
