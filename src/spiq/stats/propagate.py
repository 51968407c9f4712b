"""Statistics of every tensor of a network, in one walk.

Each node's rule carries the statistics of its inputs to its outputs. Where a normalization layer
states the moments of a tensor, these replace the propagated ones, within the bounds that the rule
found. Moments stated of a Concat's output (a BatchNormalization behind it) are handed back to the
Concat's inputs, of which they are the exact moments. The spread of a sum is corrected by what the
layers behind it state, see :mod:`spiq.stats.sums`.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from spiq.graph.query import data_inputs, dims, is_constant, is_float, rank, where
from spiq.passes.batchnorm import Moments
from spiq.passes.prepare import Prepared
from spiq.stats.channel import ChannelStats, stats
from spiq.stats.contradicted import Contradiction, is_suspect, mended
from spiq.stats.doubt import with_doubt
from spiq.stats.maps import ZERO, crowded
from spiq.stats.routing import route_of_all
from spiq.stats.rules import RULES
from spiq.stats.rules.activations import function_of
from spiq.stats.rules.arithmetic import gated
from spiq.stats.rules.compositions import apply_composed, composed
from spiq.stats.rules.types import merged
from spiq.stats.sums import corrected

_LARGEST = 1e30
"""Means and variances beyond which nothing can be said: such activations overflow float32."""

_log = logging.getLogger(__name__)

_WEIGHTED = ("Conv", "ConvTranspose")


@dataclass(frozen=True)
class Measured:
    """What is known of a network's tensors.

    Attributes:
        stats: Statistics of each value that is known.
        unknown: Nodes where statistics end: what they read is known, but their operator or form
            has no rule, and they write numbers that a layer could read. As ``Operator 'name'``.
        contradicted: What was stated and cannot be.
    """

    stats: dict[ir.Value, ChannelStats]
    unknown: tuple[str, ...] = field(default=())
    contradicted: tuple[Contradiction, ...] = field(default=())


def measure(prepared: Prepared, inputs: Mapping[str, ChannelStats]) -> Measured:
    """Carry statistics from the network's inputs and normalization layers to every tensor.

    Args:
        prepared: The network.
        inputs: Statistics of the network's inputs, by name.
    """
    graph = prepared.model.graph
    stated = handed_back(graph, prepared.stated)
    known = _of_inputs(graph, inputs, stated)
    unknown, contradicted = list[str](), list[Contradiction]()
    for node in graph:
        results = _apply_rule(node, known, stated) or []
        for index, value in enumerate(node.outputs):
            ruled = results[index] if index < len(results) else None
            moments = stated.get(value.name or "")
            if moments is not None:
                moments = _credible(moments, node, index, known, contradicted)
                found = _with_moments(moments, ruled or _of_anything(node), value)
                known[value] = merged(found, crowded(found.layout))
            elif ruled is not None:
                summed = corrected(value, ruled, stated) if node.op_type == "Add" else ruled
                found = merged(summed, crowded(summed.layout))
                known[value] = with_doubt(node, index, found, known)
        if _ends_at(node, known):
            unknown.append(where(node))
    return Measured(known, tuple(unknown), tuple(contradicted))


def _of_inputs(
    graph: ir.Graph, inputs: Mapping[str, ChannelStats], stated: Mapping[str, Moments]
) -> dict[ir.Value, ChannelStats]:
    """Return the statistics of the network's inputs: as given, with the moments stated of them."""
    known: dict[ir.Value, ChannelStats] = {}
    for value in graph.inputs:
        given, moments = inputs.get(value.name or ""), stated.get(value.name or "")
        if moments is not None:
            given = _with_moments(moments, given, value)
        if given is not None:
            known[value] = given
    return known


def _ends_at(node: ir.Node, known: Mapping[ir.Value, ChannelStats]) -> bool:
    """Return whether all that a node reads is known, and not what it writes."""
    sources = data_inputs(node)
    is_open = is_float(node.outputs[0]) and node.outputs[0] not in known
    return is_open and bool(sources) and all(value in known for value in sources)


def _credible(
    moments: Moments,
    node: ir.Node,
    index: int,
    known: Mapping[ir.Value, ChannelStats],
    contradicted: list[Contradiction],
) -> Moments:
    """Return what is stated of an output, without what cannot be."""
    implied = _apply_rule(node, known, {}) if is_suspect(moments) else None
    if implied is None or index >= len(implied):
        return moments
    found, false = mended(moments, implied[index])
    if false:
        contradicted.append(Contradiction(where(node), false, moments.var.size))
    return found


def _apply_rule(
    node: ir.Node, known: Mapping[ir.Value, ChannelStats], stated: Mapping[str, Moments]
) -> list[ChannelStats] | None:
    joined = composed(node) if gated(node) is None else None
    if joined is not None and joined[0] in known:
        with np.errstate(over="ignore", invalid="ignore"):
            found_as_one = apply_composed(joined[1], known[joined[0]])
        if _fits(found_as_one, node.outputs[0]):  # what is masked by its own size has no moments
            return [found_as_one]
    rule = RULES.get(node.op_type) if node.domain == "" else None
    if rule is None or (node.op_type in _WEIGHTED and node.outputs[0].name in stated):
        return None
    inputs = [None if value is None else known.get(value) for value in node.inputs]
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            found = rule(node, inputs)
    except (IndexError, ValueError) as error:  # shapes that do not belong together
        _log.info("no statistics of %s: %s", where(node), error)
        return None
    if found is None or all(map(_fits, found, node.outputs)):
        return found
    _log.info("no statistics of %s: its rule's result does not fit it", where(node))
    return None


def _of_anything(node: ir.Node) -> ChannelStats | None:
    """Return what bounds an activation has whatever it reads: nothing else in it is true."""
    size = rank(node.outputs[0])
    if size is None or (function_of(node) is None and node.op_type != "Softmax"):
        return None
    anything = stats(np.zeros((1,) * size), 1.0, -np.inf, np.inf)
    found = _apply_rule(node, {value: anything for value in data_inputs(node)}, {})
    return found[0] if found else None


def ruled(node: ir.Node, known: Mapping[ir.Value, ChannelStats]) -> list[ChannelStats] | None:
    """Return what a node's rule makes of what is known of its inputs; None where it gives up.

    Args:
        node: The node.
        known: Statistics of what it reads, and of what that is made of.
    """
    found = _apply_rule(node, known, {})
    return None if found is None else [merged(one, crowded(one.layout)) for one in found]


def _fits(found: ChannelStats, value: ir.Value) -> bool:
    """Return whether statistics are finite, and laid out as the shape of ``value`` can be."""
    shape = dims(value)
    if not (np.abs(found.mean) <= _LARGEST).all() or not (found.var <= _LARGEST).all():
        return False
    return shape is None or (
        len(found.layout) == len(shape)
        and all(
            own in (1, size) or size is None for own, size in zip(found.layout, shape, strict=True)
        )
    )


def _with_moments(moments: Moments, ruled: ChannelStats | None, value: ir.Value) -> ChannelStats:
    size = len(value.shape) if value.shape is not None else 4
    layout = moments.layout or (1, -1) + (1,) * (size - 2)
    mean, var = moments.mean.reshape(layout), moments.var.reshape(layout)
    doubt = np.broadcast_to(moments.doubt, moments.mean.shape).reshape(layout)
    if ruled is not None and ruled.mean.ndim == mean.ndim:  # bounds of all that is one here
        pairs = enumerate(zip(ruled.layout, mean.shape, strict=True))
        ruled = merged(ruled, tuple(axis for axis, (own, stated) in pairs if own > stated == 1))
    if ruled is None or ruled.mean.ndim != mean.ndim or not _is_within(ruled.layout, mean.shape):
        return stats(mean, var, source=moments.source, doubt=doubt)
    return stats(mean, var, ruled.low, ruled.high, moments.source, doubt)


def _is_within(layout: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    return all(own in (1, size) for own, size in zip(layout, whole, strict=True))


def handed_back(graph: ir.Graph, stated: Mapping[str, Moments]) -> dict[str, Moments]:
    """Return ``stated``, and what it says of the inputs of Concats."""
    result = dict(stated)
    for node in reversed(list(graph)):
        moments = result.get(node.outputs[0].name or "")
        if moments is None or node.op_type != "Concat":
            continue
        layouts = [_plain_layout(value) for value in node.inputs if value is not None]
        known = [layout for layout in layouts if layout is not None]
        maps = route_of_all(node, known) if len(known) == len(node.inputs) else None
        if maps is None or (maps[0] == ZERO).any():
            continue
        start = 0
        for value, layout in zip(node.inputs, known, strict=True):
            end = start + int(np.prod(layout))
            if value is not None and not is_constant(value) and value.name not in result:
                mean, var, doubt = (
                    np.broadcast_to(array, moments.mean.shape)[start:end]
                    for array in (moments.mean, moments.var, moments.doubt)
                )
                part = Moments(mean, var, moments.source, doubt)
                result[value.name or ""] = part
            start = end
    return result


def _plain_layout(value: ir.Value) -> tuple[int, ...] | None:
    shape = value.shape
    if shape is None or len(shape) < 2 or not isinstance(shape[1], int):
        return None
    return (1, shape[1]) + (1,) * (len(shape) - 2)
