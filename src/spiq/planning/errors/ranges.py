"""The range of every channel, for several widths lambda at once.

A channel that a normalization layer describes spans mean +- lambda std. Where it is known to stop
at a bound, that goes for what :mod:`spiq.planning.errors.rectified` finds in front of it.
Activations carry both ends over by their function: behind a ReLU the upper end is beta + lambda
gamma, and not some multiple of the small deviation of what is left. Sums add deviations in
quadrature. Hard bounds always hold, and every range contains 0.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, data_inputs, is_constant, weight_nodes
from spiq.passes.batchnorm import batchnorm_affine
from spiq.planning.errors.freedom import freedom_of
from spiq.planning.errors.powers import power_range
from spiq.planning.errors.rectified import unrectified
from spiq.stats.channel import Array, ChannelStats
from spiq.stats.maps import Map
from spiq.stats.movers import MOVERS
from spiq.stats.propagate import Measured
from spiq.stats.routing import mixture, route_of_all
from spiq.stats.rules.activations import DIPS, function_of
from spiq.stats.rules.arithmetic import gated
from spiq.stats.rules.compositions import composed, over, raised
from spiq.stats.rules.masks import masking
from spiq.stats.rules.movement import moved, pad_fill
from spiq.stats.rules.types import beside

Range = tuple[Array, Array]
"""Low and high end, each of shape layout + (number of lambdas,)."""

_STEPS = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
_UNSTATED = 1.4
"""By how much the deviation of a layer's output is widened where nothing states it: the rule takes
the channels of its input as uncorrelated, and where they are not, the output spreads more."""

_KEEPS = frozenset({"MaxPool", "AveragePool", "Resize"})
_SWING = 0.1
"""Of the step that a cubic Resize meets: with the coefficient -0.75, a tenth beyond either side."""


def soft_ranges(graph: ir.Graph, measured: Measured, lambdas: Array) -> dict[ir.Value, Range]:
    """Return the range of every tensor with statistics.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        lambdas: Widths in standard deviations, shape (L,).
    """
    ranges: dict[ir.Value, Range] = {}
    layers = set(weight_nodes(graph))
    for value in graph.inputs:
        if value in measured.stats:
            ranges[value] = _around(measured.stats[value], lambdas)
    for node in graph:
        for index, value in enumerate(node.outputs):
            known = measured.stats.get(value)
            if known is None:
                continue
            stated = known.source in ("norm", "synthetic", "data")
            carried = None if stated else _carried(node, index, ranges, measured, lambdas)
            wider = _UNSTATED if node in layers and not stated else 1.0
            ranges[value] = _bounded(carried or _around(known, wider * lambdas), known)
    return ranges


def _around(known: ChannelStats, lambdas: Array) -> Range:
    centre, deviation = unrectified(known) if known.source == "norm" else (known.mean, known.std)
    reach = deviation[..., None] * lambdas
    if known.source == "input":
        reach = np.full_like(reach, np.inf)
    return _bounded((centre[..., None] - reach, centre[..., None] + reach), known)


def _bounded(span: Range, known: ChannelStats) -> Range:
    low, high = (np.clip(end, known.low[..., None], known.high[..., None]) for end in span)
    return np.minimum(low, 0), np.maximum(high, 0)


def _carried(
    node: ir.Node, index: int, ranges: Mapping[ir.Value, Range], measured: Measured, lambdas: Array
) -> Range | None:
    """Return the range that a node makes of those that it reads; None where that is not known."""
    inputs = data_inputs(node)
    if node.op_type in MOVERS and node.domain == "":
        span = _moved(node, index, ranges, measured, len(lambdas))
        return _filled(node, span, measured) if node.op_type == "Pad" and span else span
    if not inputs or any(value not in ranges for value in inputs):
        return None
    first, known = ranges[inputs[0]], [measured.stats[value] for value in inputs]
    if node.op_type in _KEEPS:
        own = measured.stats[node.outputs[0]].layout  # a pool along channels mixes them
        kept = first[0].shape[:-1] == own
        return _overshot(first) if kept and _is_cubic(node) else first if kept else None
    if node.op_type == "BatchNormalization":
        return _scaled(node, first)
    power = raised(node)
    if power is not None and power[0] in ranges:
        source, function, _ = power
        freedom = freedom_of(source, measured.stats)
        return power_range(function, ranges[source], measured.stats[source], lambdas, freedom)
    joined = composed(node) if gated(node) is None else None
    if joined is not None and joined[0] in ranges:
        return over(joined[1], *ranges[joined[0]])
    if node.op_type in _STEPS and len(inputs) == 1 and len(node.inputs) == 2:
        return None if _adds_mask(node, known[0]) else _stepped(node, first, inputs[0])
    if node.op_type in ("Add", "Sub") and len(inputs) == 2:
        is_merged = _is_merged(known, measured.stats[node.outputs[0]])
        return None if is_merged else _summed(node, known, ranges)
    return _of_function(node, inputs[0], ranges)


def _is_cubic(node: ir.Node) -> bool:
    return node.op_type == "Resize" and node.attributes.get_string("mode", "nearest") == "cubic"


def _overshot(span: Range) -> Range:
    """Return a range with what a cubic interpolation swings past an edge from end to end."""
    swing = _SWING * (span[1] - span[0])
    return span[0] - swing, span[1] + swing


def _adds_mask(node: ir.Node, known: ChannelStats) -> bool:
    return node.op_type == "Add" and any(masking(node, at, known) is not None for at in (0, 1))


def _is_merged(terms: list[ChannelStats], result: ChannelStats) -> bool:
    """Return whether of a sum less is kept apart than of its terms."""
    layouts = [one.layout for one in (*terms, result)]
    return np.broadcast_shapes(*layouts) != result.layout


def _of_function(node: ir.Node, first: ir.Value, ranges: Mapping[ir.Value, Range]) -> Range | None:
    """Carry both ends through a function of one tensor, and its least point if that is between."""
    gate = gated(node)
    function, source, dip = (
        (gate[1], gate[0], gate[2])
        if gate is not None
        else (function_of(node), first, DIPS.get(node.op_type))
    )
    if function is None or source not in ranges:
        return None
    ends = [function(end) for end in ranges[source]]
    low, high = np.minimum(*ends), np.maximum(*ends)
    if dip is not None:
        low = np.minimum(low, function(np.full_like(low, dip)))
    return low, high


def _moved(
    node: ir.Node, index: int, ranges: Mapping[ir.Value, Range], measured: Measured, count: int
) -> Range | None:
    """Read the ranges of the inputs through the map of an operator that only moves data."""
    inputs = [None if value is None else measured.stats.get(value) for value in node.inputs]
    known = moved(node, inputs)
    if known is None:
        return None
    spans = [
        ranges[value] if value in ranges else _fixed(found, count)
        for value, found in zip(node.inputs, known, strict=False)
        if value is not None
    ]
    layouts = [found.layout for found in known]
    maps = route_of_all(node, layouts)
    if maps is not None:
        low, high = (_read(maps[index], [span[side] for span in spans]) for side in (0, 1))
        return low, high
    mixed = mixture(node, layouts)
    if mixed is None:
        return None
    low, high = (_read(mixed[index], [span[side] for span in spans]) for side in (0, 1))
    return low.min(axis=0), high.max(axis=0)


def _filled(node: ir.Node, span: Range, measured: Measured) -> Range:
    """Widen a range to what a Pad fills with, unless that is a mask."""
    fill, source = pad_fill(node), node.inputs[0]
    known = measured.stats.get(source) if source is not None else None
    if fill is None or masking(node, 2, known) is not None:
        return span
    return np.minimum(span[0], fill), np.maximum(span[1], fill)


def _read(entry: Map, ends: list[Array]) -> Array:
    count = ends[0].shape[-1]
    flat = [end.reshape(-1, count) for end in ends]
    read: Array = np.concatenate([*flat, np.zeros((1, count))])[entry]
    return read


def _fixed(known: ChannelStats, count: int) -> Range:
    """Return the range of a constant, the same for all widths."""
    shape = (*known.layout, count)
    low, high = (np.broadcast_to(end[..., None], shape) for end in (known.low, known.high))
    return low, high


def _stepped(node: ir.Node, span: Range, source: ir.Value) -> Range | None:
    """Carry both ends through a step by a constant, if that varies with the layout alone."""
    swapped = node.inputs[1] is source
    array = constant(node.inputs[0 if swapped else 1])
    layout = span[0].shape[:-1]
    if array is None or array.ndim > len(layout) or (swapped and node.op_type == "Div"):
        return None
    given = beside(array, layout)
    shape = (1,) * (len(layout) - given.mean.ndim) + given.layout + (1,)
    if np.broadcast_shapes(shape, span[0].shape) != span[0].shape:
        return None
    step = _STEPS[node.op_type]
    ends = [
        step(other.reshape(shape), end) if swapped else step(end, other.reshape(shape))
        for end in span
        for other in (given.low, given.high)
    ]
    return np.minimum.reduce(ends), np.maximum.reduce(ends)


def _scaled(node: ir.Node, span: Range) -> Range | None:
    """Carry both ends through a x + b per channel, as a step by constants is written."""
    if not all(map(is_constant, node.inputs[1:5])):
        return None
    shape = (1, -1) + (1,) * (span[0].ndim - 2)
    a, b = (array.reshape(shape) for array in batchnorm_affine(node))
    ends = [a * end + b for end in span]
    return np.minimum(*ends), np.maximum(*ends)


def _summed(node: ir.Node, terms: list[ChannelStats], ranges: Mapping[ir.Value, Range]) -> Range:
    (low_a, high_a), (low_b, high_b) = (ranges[value] for value in data_inputs(node))
    a, b = terms[0].mean[..., None], terms[1].mean[..., None]
    if node.op_type == "Sub":
        b, low_b, high_b = -b, -high_b, -low_b
    return (
        a + b - np.hypot(np.minimum(low_a - a, 0), np.minimum(low_b - b, 0)),
        a + b + np.hypot(np.maximum(high_a - a, 0), np.maximum(high_b - b, 0)),
    )
