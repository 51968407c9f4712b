"""Layers that are better left in float: where one tensor brings much error and its readers little.

The first layers of small networks may have channels that hardly vary, far from 0, of which the
next layer makes its strongest ones: behind a LeakyRelu, for instance, a channel of -0.35 +- 0.1 on
a grid from -2 to 8, because it shares its scale with the convolution in front and the zero point
with all other channels. No choice of ranges mends that, and the expected error says so. If a group
of tensors that are decided together brings more than ``SHARE`` of the error that is expected of
the whole network, and the layers that read it are less than ``WORK`` of its layers and do less than
that of its multiplications, these stay in float, and nobody needs the tensors on integers.
"""

import math
from collections.abc import Sequence

import onnx_ir as ir

from spiq.graph.query import constant, dims, weight_nodes
from spiq.planning.placement.values import LAYERS, Placement

SHARE, WORK = 0.22, 0.04
"""Set on twelve published networks, of which two have a group above ``SHARE`` that few
multiplications read (docs/experiments.md)."""

Costs = Sequence[tuple[Sequence[ir.Value], float]]
"""Groups of tensors that were decided together, and the error expected of each."""


def relieved(graph: ir.Graph, placement: Placement, costs: Costs) -> dict[str, str]:
    """Return the names of the layers to leave in float, and the reason.

    Args:
        graph: The prepared network.
        placement: What runs on integers.
        costs: What was decided.
    """
    total = sum(cost for _, cost in costs)
    group, worst = max(costs, key=lambda one: one[1], default=((), 0.0))
    readers = _readers(group, placement)
    work = {node: _multiplications(node) for node in weight_nodes(graph)}
    known = [count for count in work.values() if count is not None]
    if worst < SHARE * total or not readers or len(known) < len(work):
        return {}
    if any(node.op_type not in LAYERS for node in readers):
        return {}
    if len(readers) > WORK * len(work):
        return {}
    if sum(work[node] or 0 for node in readers) > WORK * sum(known):
        return {}
    reason = f"rounding its input would bring {worst / total:.0%} of the error expected of all"
    return {str(node.name): reason for node in readers}


def _readers(group: Sequence[ir.Value], placement: Placement) -> list[ir.Node]:
    """Return what reads tensors of a group on integers, and does not write one of them."""
    within = {value.producer() for value in group} | set(placement.absorbed)
    found = {node: None for value in group for node in value.consumers()}
    return [node for node in found if node in placement.integer and node not in within]


def _multiplications(node: ir.Node) -> int | None:
    """Return the multiplications of a layer for one image; None where sizes are dynamic."""
    weight, shape = constant(node.inputs[1]), dims(node.outputs[0])
    if weight is None or shape is None or None in shape[2:]:
        return None
    return math.prod([weight.size, *(size or 1 for size in shape[2:])])
