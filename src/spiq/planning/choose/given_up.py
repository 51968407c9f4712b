"""Channel scales that Sigmoids make dear, given up where they bring little.

A Sigmoid on integers takes x in real units, so a 1x1 depthwise convolution gives them back in front
of it (:mod:`spiq.rewriting.gates`), which takes as long as the Sigmoid itself: 0.6 of
EfficientNet-B0's 8.5 ms, which made it slower than ``quantize_static``'s. Where that is a part of
the network's time worth speaking of, scales go, those first that bring least for an element, as
long as the error expected at the network's outputs rises by no more than ``SPENT`` of all of it.

EfficientNet-B0 loses nothing by it and takes 0.9 of the time that it took. Where dense layers take
most of the time, nothing goes: two trained detectors (YOLOv8n, YOLOX) would lose 0.5 dB on real
images for 1 % of their time.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import onnx_ir as ir

from spiq.graph.query import weight_nodes
from spiq.graph.work import elements, macs
from spiq.planning.placement.values import Placement

DEAR, SPENT = 0.003, 0.02
"""Parts of the network's work and of the error expected, the latter a tenth of a decibel."""

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
    """

    plain: Choice
    brings: float
    elements: int


def work(graph: ir.Graph) -> float:
    """Return the work of a network, in elements written; infinite where a size is open."""
    written = [elements(value) for node in graph for value in node.outputs]
    multiplied = [macs(node) for node in weight_nodes(graph)]
    if None in written or None in multiplied:
        return float("inf")
    return sum(one or 0 for one in written) + sum(one or 0 for one in multiplied) / _MACS


def least_dear(graph: ir.Graph) -> float:
    """Return the elements beyond which what a Sigmoid reads takes time worth speaking of."""
    return DEAR * work(graph)


def dearness(values: Sequence[ir.Value], placement: Placement) -> int:
    """Return the elements that Sigmoids read of a group's tensors, for one image."""
    gated = (
        value
        for value in values
        for node in value.consumers()
        if node.op_type == "Sigmoid" and node in placement.integer
    )
    return sum(elements(value) or 0 for value in gated)


def give_up(dear: Mapping[Hashable, Dear[Choice]], error: float) -> dict[Hashable, Choice]:
    """Return the groups that get one scale, and what is then decided of them.

    Args:
        dear: The groups whose channel scales are dear, by a name.
        error: That expected of all groups with channel scales.
    """
    left, given = SPENT * error, dict[Hashable, Choice]()
    for name, one in sorted(dear.items(), key=lambda item: item[1].brings / item[1].elements):
        left -= one.brings
        if left < 0:
            break
        given[name] = one.plain
    return given
