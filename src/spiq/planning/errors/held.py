"""What a tensor can be at most, made of tensors that are stored: no more than those can hold.

A stored tensor never passes the ends of its grid, so what is made of it does not pass what its
operators make of these. Behind a square that matters: to be held by 8 bits, x^2 may be taken for as
wide as 25 deviations of x make it, since its tail is heavy, while x itself ends at 8. Rules tell
the bounds of a result from those of what it is made of; those of layers and normalizations are
wider than what is known of them, and the walk up ends there.
"""

from collections import ChainMap
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from spiq.graph.query import data_inputs
from spiq.planning.placement.values import Placement, is_layer, is_product
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.propagate import Measured, ruled
from spiq.stats.rules.norms import NORMS

Ends = tuple[Array, Array]
"""Low and high end of each channel, in the tensor's layout."""

_DEPTH = 8
"""Operators between a tensor and the stored ones that it is made of."""


@dataclass(frozen=True)
class Held:
    """What stored tensors can hold.

    Attributes:
        placement: What runs on integers.
        measured: Statistics of the network's tensors.
        ends: What each of them can be at least and at most.
    """

    placement: Placement
    measured: Measured
    ends: dict[ir.Value, Ends] = field(default_factory=dict)

    def bounds(self, value: ir.Value) -> Ends | None:
        """Return what a tensor can be by what it is made of; None where that tells nothing."""
        found = self._made(value, {}, _DEPTH)
        return None if found is None else (found.low, found.high)

    def _made(
        self, value: ir.Value, narrowed: dict[ir.Value, ChannelStats], depth: int
    ) -> ChannelStats | None:
        """Return what is known of a tensor within the bounds of what it is made of, if of any.

        ``narrowed`` gets the same of all tensors on the way up.
        """
        node, known = value.producer(), self.measured.stats.get(value)
        if node is None or known is None or depth == 0 or _ends_walk(node):
            return None
        before = [self._read(source, narrowed, depth - 1) for source in data_inputs(node)]
        if not any(before):
            return None
        found = ruled(node, ChainMap(narrowed, self.measured.stats))
        index = list(node.outputs).index(value)
        return _within(known, found[index]) if found and index < len(found) else None

    def _read(self, value: ir.Value, narrowed: dict[ir.Value, ChannelStats], depth: int) -> bool:
        """Note what is known of a tensor as others read it; return whether that is bounded."""
        if value not in narrowed:
            held, known = self.ends.get(value), self.measured.stats.get(value)
            if held is not None and known is not None and self._is_read_as_stored(value):
                found: ChannelStats | None = _cut(known, *held)
            else:
                found = self._made(value, narrowed, depth)
            if found is not None:
                narrowed[value] = found
        return value in narrowed

    def _is_read_as_stored(self, value: ir.Value) -> bool:
        """Return whether all that reads a tensor reads its integers."""
        placement, producer = self.placement, value.producer()
        if producer is not None and (
            producer in placement.integer or producer in placement.absorbed
        ):
            return True
        return all(n in placement.integer or n in placement.shortcuts for n in value.consumers())


def _ends_walk(node: ir.Node) -> bool:
    return is_layer(node) or is_product(node) or node.op_type in NORMS


def _within(known: ChannelStats, found: ChannelStats) -> ChannelStats | None:
    fits = np.broadcast_shapes(known.layout, found.layout) == known.layout
    return _cut(known, found.low, found.high) if fits else None


def _cut(known: ChannelStats, low: Array, high: Array) -> ChannelStats:
    low, high = np.maximum(known.low, low), np.minimum(known.high, high)
    return stats(known.mean, known.var, low, np.maximum(low, high), known.source, known.doubt)
