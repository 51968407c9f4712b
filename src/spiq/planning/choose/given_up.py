"""Channel scales that take time, given up where they bring little.

A Sigmoid on integers takes x in real units, so a 1x1 depthwise convolution gives them back in front
of it (:mod:`spiq.rewriting.gates`), which takes as long as the Sigmoid itself: 0.6 of
EfficientNet-B0's 8.5 ms, which made it slower than ``quantize_static``'s. And what operators in
float write or read is multiplied by the scales: of ConvNeXt-Atto's 11 ms, 1.4 went by around its
GELUs, for hundredths of a decibel. Where that is a part of the network's time worth speaking of,
scales go, those first that bring least for an element, as long as the error expected at the
network's outputs rises by no more than ``SPENT``, or ``SPENT_IN_FLOAT``, of all of it; around
operators in float only where a part of the time costs at most ``PRICE`` times that of the error.

EfficientNet-B0 loses nothing by it and takes 0.9 of the time that it took. Where dense layers take
most of the time, nothing goes: two trained detectors (YOLOv8n, YOLOX) would lose 0.5 dB on real
images for 1 % of their time. Around operators in float, ConvNeXt-Atto loses nothing and takes 0.90
of the time, and PVTv2-B0 1.6 dB, of 7.7 that it has more than ``quantize_static``'s, for 0.90. The
price was chosen between those (0.1 to 3 each, 1.2 together) and tensors around layers that are
spared, which are left alone by now: in YOLO-Fastest one brings 11 times its part of the time.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import onnx_ir as ir

from spiq.graph.query import data_inputs, weight_nodes
from spiq.graph.work import elements, macs, positions
from spiq.planning.placement.values import Placement, is_layer
from spiq.stats.movers import MOVERS
from spiq.stats.rules.norms import NORMS
from spiq.targets import Target

DEAR, SPENT, SPENT_IN_FLOAT, PRICE = 0.003, 0.02, 0.2, 2.5
"""Parts of the network's work, and of the error expected: a tenth of a decibel in front of
Sigmoids, 0.8 around operators in float. And parts of the error to a part of the work, there."""

Choice = TypeVar("Choice")

_MACS = 40
"""Multiply-accumulates of a layer in the time that writing an element takes (0.25 ns)."""


@dataclass(frozen=True)
class Dear(Generic[Choice]):
    """A group of tensors whose channel scales take time.

    Attributes:
        plain: What is decided of it with one scale for all channels.
        brings: By how much the error expected is less with channel scales.
        elements: How many are written once more with channel scales.
        gated: Whether it is Sigmoids that make them dear.
    """

    plain: Choice
    brings: float
    elements: int
    gated: bool


def work(graph: ir.Graph) -> float:
    """Return the work of a network, in elements written; infinite where a size is open."""
    written = [elements(value) for node in graph for value in node.outputs]
    multiplied = [macs(node) for node in weight_nodes(graph)]
    if None in written or None in multiplied:
        return float("inf")
    return sum(one or 0 for one in written) + sum(one or 0 for one in multiplied) / _MACS


def is_dear(count: int, of: float) -> bool:
    """Return whether to write so many elements once more takes time worth speaking of.

    Args:
        count: How many.
        of: The work of the network.
    """
    return count > DEAR * of


def gated(values: Sequence[ir.Value], placement: Placement) -> int:
    """Return the elements that Sigmoids read of a group's tensors, for one image."""
    read = (
        value
        for value in values
        for node in value.consumers()
        if node.op_type == "Sigmoid" and node in placement.integer
    )
    return sum(elements(value) or 0 for value in read)


def multiplied(values: Sequence[ir.Value], placement: Placement, target: Target) -> int:
    """Return the elements of a group's tensors that channel scales are multiplied with in float.

    Only around operators that have no integer kernel: what is in float since a layer there is
    spared has more to lose than is expected.

    Args:
        values: The group.
        placement: What runs on integers.
        target: The runtime.
    """
    times = (
        (_is_folded(v, placement, target) + _is_restored(v, placement, target), v) for v in values
    )
    return sum(count * _elements(value) for count, value in times if count)


def _is_folded(value: ir.Value, placement: Placement, target: Target) -> bool:
    """Return whether an operator in float writes a tensor, and cannot take its scales in."""
    node = value.producer()
    if node is None or is_layer(node) or _is_on_integers(node, placement):
        return False
    if node.op_type in MOVERS:
        return any(_is_folded(v, placement, target) for v in data_inputs(node))
    return node.op_type not in NORMS and node.op_type not in target.integer


def _is_restored(value: ir.Value, placement: Placement, target: Target) -> bool:
    """Return whether an operator in float reads a tensor's integers, and cannot take scales in."""
    return _is_on_integers(value.producer(), placement) and _is_read(value, placement, target)


def _is_read(value: ir.Value, placement: Placement, target: Target) -> bool:
    for node in value.consumers():
        if _is_on_integers(node, placement) or is_layer(node):
            continue
        if node.op_type in MOVERS and any(_is_read(v, placement, target) for v in node.outputs):
            return True
        if node.op_type not in MOVERS and node.op_type not in target.integer:
            return True
    return False


def _is_on_integers(node: ir.Node | None, placement: Placement) -> bool:
    return node in placement.integer or node in placement.absorbed


def _elements(value: ir.Value) -> int:
    """Return the elements of a tensor for one image, of all rows that an image's tokens make."""
    node = value.producer()
    rows = positions(node) if node is not None and node.op_type == "Gemm" else [1]
    return (elements(value) or 0) * math.prod(count or 0 for count in rows)


def give_up(
    dear: Mapping[Hashable, Dear[Choice]], error: float, of: float
) -> dict[Hashable, Choice]:
    """Return the groups that get one scale, and what is then decided of them.

    Args:
        dear: The groups whose channel scales are dear, by a name.
        error: That expected of all groups with channel scales.
        of: The work of the network.
    """
    left = {True: SPENT * error, False: SPENT_IN_FLOAT * error}
    given = dict[Hashable, Choice]()
    for name, one in sorted(dear.items(), key=lambda item: item[1].brings / item[1].elements):
        left[one.gated] -= one.brings
        is_cheap = one.gated or one.brings * of <= PRICE * one.elements * error
        if left[one.gated] >= 0 and is_cheap:
            given[name] = one.plain
    return given
