"""Operators that move data: their rule is their map, see :mod:`spiq.stats.routing`."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, dims, is_float
from spiq.stats.channel import ChannelStats, of_constant, stats
from spiq.stats.maps import Map
from spiq.stats.movers import MOVERS, space_from
from spiq.stats.routing import gather, mixture, route_of_all
from spiq.stats.rules.types import Inputs, Rule, operand


def move(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Carry statistics through an operator that only moves data."""
    known = moved(node, inputs)
    if known is None:
        return None
    layouts = [entry.layout for entry in known]
    maps = route_of_all(node, layouts)
    if maps is None:
        mixed = mixture(node, layouts)
        return None if mixed is None else [_mixed(entry, known) for entry in mixed]
    source = known[0].source if len(known) == 1 else "propagated"
    return [_gathered(entry, known, source) for entry in maps]


def moved(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Return the statistics of each input that is moved, constants included, if all are known."""
    if node.op_type != "Concat":
        known = inputs[0] or _repeated(node)
        return None if known is None else [known]
    beside = next((known.layout for known in inputs if known is not None), ())
    found = [operand(node, inputs, index, beside) for index in range(len(inputs))]
    told = [entry for entry in found if entry is not None]
    return told if told and len(told) == len(inputs) else None


def _repeated(node: ir.Node) -> ChannelStats | None:
    """Return the statistics of a constant that is repeated for each of a batch, as queries are."""
    array = constant(node.inputs[0]) if node.op_type in ("Expand", "Tile") else None
    return None if array is None or array.dtype.kind != "f" else of_constant(array)


def _gathered(entry: Map, known: list[ChannelStats], source: str = "propagated") -> ChannelStats:
    return ChannelStats(
        gather(entry, [k.mean for k in known]),
        gather(entry, [k.var for k in known]),
        gather(entry, [k.low for k in known]),
        gather(entry, [k.high for k in known]),
        source,
    )


def _mixed(entry: Map, known: list[ChannelStats]) -> ChannelStats:
    """Return the moments of numbers that come from each of several entries equally often."""
    parts = _gathered(entry, known)
    mean = parts.mean.mean(axis=0)
    second = parts.second_moment.mean(axis=0)
    return stats(mean, second - mean**2, parts.low.min(axis=0), parts.high.max(axis=0))


def pad(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Pad: what fills space pulls the mean to itself by the share of positions that it takes."""
    before, pads, shape = move(node, inputs), constant(node.inputs[1]), dims(node.outputs[0])
    if before is None or node.attributes.get_string("mode", "constant") != "constant":
        return before
    fill = pad_fill(node)
    if fill is None:
        return None
    known, half = before[0], len(pads) // 2 if pads is not None else 0
    if pads is None or half != known.mean.ndim or len(node.inputs) > 3:
        low, high = np.minimum(known.low, fill), np.maximum(known.high, fill)
        return [stats(known.mean, known.var, low, high)]
    first = space_from(known.layout)
    if not pads[first:half].any() and not pads[half + first :].any():
        return before
    share = 1.0
    for axis in range(first, half):
        added = int(pads[axis] + pads[half + axis])
        size = shape[axis] if shape is not None else None
        alike = known.layout[axis] == 1
        share *= 1 - added / size if size and alike else 1.0
    mean = share * known.mean + (1 - share) * fill
    second = share * known.second_moment + (1 - share) * fill**2
    low, high = np.minimum(known.low, fill), np.maximum(known.high, fill)
    return [stats(mean, second - mean**2, low, high)]


def pad_fill(node: ir.Node) -> float | None:
    """Return the number that a Pad fills with; None where it is not constant or not finite."""
    given = node.inputs[2] if len(node.inputs) > 2 else None
    array = np.zeros(1) if given is None else constant(given)
    if array is None or array.size != 1 or not np.isfinite(array).all():
        return None
    return float(array.reshape(-1)[0])


def cast(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Cast to another float type changes nothing that counts here."""
    to = node.attributes.get_int("to")
    known = inputs[0]
    return [replace(known)] if known is not None and to in (1, 10, 11, 16) else None


def cast_like(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """CastLike, to another float type: as Cast."""
    known = inputs[0]
    return [replace(known)] if known is not None and is_float(node.outputs[0]) else None


MOVEMENT: dict[str, Rule] = {
    **dict.fromkeys(MOVERS, move), "Pad": pad, "Cast": cast, "CastLike": cast_like
}  # fmt: skip
