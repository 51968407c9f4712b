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
from dataclasses import dataclass, replace

import onnx_ir as ir

from spiq.graph.query import weight_nodes
from spiq.graph.work import elements, macs
from spiq.methods.method import Method
from spiq.planning.choose.group import Group, Scaled
from spiq.planning.choose.scales import decide
from spiq.planning.placement.values import Placement

DEAR, SPENT = 0.003, 0.02
"""Parts of the network's work and of the error expected, the latter a tenth of a decibel."""

_MACS = 40
"""Multiply-accumulates of a layer in the time that writing an element takes (0.25 ns)."""


@dataclass(frozen=True)
class Decided:
    """A group of tensors and what was decided of it.

    Attributes:
        group: The tensors, and what their errors depend on.
        scaled: The choice.
        dear: Elements that are written once more if each channel has a scale of its own.
    """

    group: Group
    scaled: Scaled
    dear: int


def work(graph: ir.Graph) -> float:
    """Return the work of a network, in elements written; infinite where a size is open."""
    written = [elements(value) for node in graph for value in node.outputs]
    multiplied = [macs(node) for node in weight_nodes(graph)]
    if None in written or None in multiplied:
        return float("inf")
    return sum(one or 0 for one in written) + sum(one or 0 for one in multiplied) / _MACS


def dearness(values: Sequence[ir.Value], placement: Placement) -> int:
    """Return the elements that Sigmoids read of a group's tensors, for one image."""
    gated = (
        value
        for value in values
        for node in value.consumers()
        if node.op_type == "Sigmoid" and node in placement.integer
    )
    return sum(elements(value) or 0 for value in gated)


def give_up(
    decided: Mapping[Hashable, Decided], method: Method, *, work: float, besides: float = 0.0
) -> dict[Hashable, Scaled]:
    """Return the choice for each group, with one scale where several bring little for their time.

    Args:
        decided: The groups, by a name.
        method: The choices that there are.
        work: That of the network.
        besides: The error expected of all other groups.
    """
    chosen = {name: one.scaled for name, one in decided.items()}
    left = SPENT * (besides + sum(scaled.cost for scaled in chosen.values()))
    plain = {
        name: decide(one.group, replace(method, alphas=(0.0,)))
        for name, one in decided.items()
        if one.dear > DEAR * work and one.scaled.alpha > 0 and 0 in method.alphas
    }
    brings = {name: scaled.cost - chosen[name].cost for name, scaled in plain.items()}
    for name in sorted(plain, key=lambda name: brings[name] / decided[name].dear):
        left -= brings[name]
        if left < 0:
            break
        chosen[name] = plain[name]
    return chosen
