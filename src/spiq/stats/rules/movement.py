"""Operators that move data: their rule is their map, see :mod:`spiq.stats.routing`."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, dims
from spiq.stats.channel import ChannelStats, stats
from spiq.stats.routing import MOVERS, gather, route
from spiq.stats.rules.types import Inputs, Rule, operand


def move(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Carry statistics through an operator that only moves data."""
    count = len(node.inputs) if node.op_type == "Concat" else 1
    operands = [operand(node, inputs, index) for index in range(count)]
    known = [entry for entry in operands if entry is not None]
    if len(known) < count:
        return None
    maps = route(node, [entry.layout for entry in known])
    if maps is None:
        return _mixture(known) if node.op_type == "Concat" else None
    source = known[0].source if count == 1 else "propagated"
    return [
        ChannelStats(
            gather(entry, [k.mean for k in known]),
            gather(entry, [k.var for k in known]),
            gather(entry, [k.low for k in known]),
            gather(entry, [k.high for k in known]),
            source,
        )
        for entry in maps
    ]


def _mixture(parts: list[ChannelStats]) -> list[ChannelStats] | None:
    """Join along an axis over which channels do not vary: a mixture, parts taken as equal."""
    if len({part.layout for part in parts}) > 1:
        return None
    mean = np.mean([part.mean for part in parts], axis=0)
    second = np.mean([part.second_moment for part in parts], axis=0)
    low = np.min([part.low for part in parts], axis=0)
    high = np.max([part.high for part in parts], axis=0)
    return [stats(mean, second - mean**2, low, high)]


def pad(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Pad: zeros in space pull the mean to zero by the share of positions that they take."""
    moved = move(node, inputs)
    pads, shape = constant(node.inputs[1]), dims(node.outputs[0])
    mode = node.attributes.get_string("mode", "constant")
    if moved is None or pads is None or mode != "constant":
        return moved
    half = len(pads) // 2
    share = 1.0
    for axis in range(2, half):
        added = int(pads[axis] + pads[half + axis])
        size = shape[axis] if shape is not None else None
        alike = moved[0].layout[axis] == 1
        share *= 1 - added / size if size and alike else 1.0
    if not pads[2:half].any() and not pads[half + 2 :].any():
        return moved
    before = moved[0]
    mean = share * before.mean
    low, high = np.minimum(before.low, 0), np.maximum(before.high, 0)
    return [stats(mean, share * before.second_moment - mean**2, low, high)]


def cast(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Cast to another float type changes nothing that counts here."""
    to = node.attributes.get_int("to")
    known = inputs[0]
    return [replace(known)] if known is not None and to in (1, 10, 11, 16) else None


MOVEMENT: dict[str, Rule] = {**dict.fromkeys(MOVERS, move), "Pad": pad, "Cast": cast}
