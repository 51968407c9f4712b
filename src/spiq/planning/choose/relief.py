"""Layers that are better left in float: where a tensor brings much error and its readers little.

The first layers of small networks may have channels that hardly vary, far from 0, of which the
next layer makes its strongest ones: behind a LeakyRelu, for instance, a channel of -0.35 +- 0.1 on
a grid from -2 to 8, because it shares its scale with the convolution in front and the zero point
with all other channels. No choice of ranges mends that, and the expected error says so:

1. A group of tensors that are decided together brings more than ``SHARE`` of the error expected of
   the whole network. All that read it stay in float, and nobody needs its tensors on integers.
2. What a layer reads leaves its output fewer than ``POOR`` dB, and more than ``MATTERS`` of the
   error expected of the network comes by it. That layer alone stays in float.

The dearest come first, and together they may be ``MOST`` of the network's layers at most, and do
no more than what its target allows of its work (:class:`spiq.targets.Target`): multiplications, and
weights that are read, which take as long as ``_READ`` of them. (Behind the pool of a MobileNetV3
each weight is met once: 0.5 % of the multiplications took 6 % of the time in float.)
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.graph.query import stored_shape, weight_nodes
from spiq.graph.work import macs
from spiq.planning.choose.group import Group, Scaled
from spiq.planning.errors.importance import through_layer
from spiq.planning.errors.network_errors import NetworkErrors
from spiq.planning.placement.values import Placement, is_layer
from spiq.stats.channel import Array
from spiq.targets import ONNXRUNTIME, Target

SHARE, MOST = 0.22, 0.04
"""Set on twelve published networks, of which two have a group above ``SHARE`` that few
multiplications read (docs/experiments.md)."""

_READ = 20
"""Measured on one core with AMX: 0.32 ns to read a float weight, 0.015 for a multiplication."""

POOR, MATTERS = 20.0, 0.02
"""At 8 bits, layers of those networks that matter have 27 to 42 dB, but for two with 14 to 17 and
four with 21 to 26. To spare the latter is worth 0.1 dB (docs/experiments.md)."""


@dataclass(frozen=True)
class Read:
    """What a layer is expected to make of the errors of its input.

    Attributes:
        node: The layer.
        error: What arrives at the network's outputs by it.
        left: Works out what is left of its own output, in dB.
    """

    node: ir.Node
    error: float
    left: Callable[[], float]


@dataclass(frozen=True)
class Cost:
    """What a group of tensors that were decided together is expected to cost.

    Attributes:
        values: The tensors.
        error: What they add at the network's outputs.
        reads: What the layers that read them make of that.
    """

    values: Sequence[ir.Value]
    error: float
    reads: Sequence[Read] = ()


Costs = Sequence[Cost]


def cost_of(values: Sequence[ir.Value], group: Group, scaled: Scaled, known: NetworkErrors) -> Cost:
    """Return what a group of tensors is expected to cost.

    Args:
        values: The tensors.
        group: All that their errors depend on.
        scaled: What was decided of them.
        known: What the errors of the network depend on.
    """
    reads = []
    by_class = np.array([scaled.channel_scales[int(name)] for name in group.names])
    for t, scales in zip(group.tensors, group.spread(by_class), strict=True):
        step, zero_point = scaled.steps[t.grid] * scales, scaled.zero_points[t.grid]
        error = t.errors(step, zero_point, group.qmax[t.grid])
        reads += [
            _read(node, error, known)
            for node in t.value.consumers()
            if node in known.placement.integer and is_layer(node) and node.inputs[0] is t.value
        ]
    return Cost(values, scaled.cost, reads)


def _read(node: ir.Node, error: Array, known: NetworkErrors) -> Read:
    """Return what a layer makes of an error of its input: white noise, and what counts behind."""
    source, result, measured = node.inputs[0], node.outputs[0], known.measured
    assert source is not None
    counts = known.importance[source]
    if len(source.consumers()) > 1 or source.is_graph_output():
        counts = through_layer(node, known.importance[result], measured)

    def left() -> float:
        var = measured.stats[result].var
        passed = through_layer(node, np.ones(var.shape), measured, likeness=0.0)
        noise = float(passed.reshape(-1) @ error)
        return 10 * math.log10(max(float(var.sum()), 1e-300) / max(noise, 1e-300))

    return Read(node, float(counts.reshape(-1) @ error), left)


def relieved(
    graph: ir.Graph, placement: Placement, costs: Costs, target: Target = ONNXRUNTIME
) -> dict[str, str]:
    """Return the names of the layers to leave in float, and the reason.

    Args:
        graph: The prepared network.
        placement: What runs on integers.
        costs: What was decided.
        target: Says how much may stay in float.
    """
    work = {node: _work(node) for node in weight_nodes(graph)}
    known = [count for count in work.values() if count is not None]
    if len(known) < len(work):
        return {}

    spared: dict[ir.Node, str] = {}
    for _, nodes, reason in sorted(_candidates(placement, costs), key=lambda one: -one[0]):
        together = {*spared, *nodes}
        done = sum(work[node] or 0 for node in together)
        if len(together) <= MOST * len(work) and done <= target.spared * sum(known):
            spared = dict.fromkeys(nodes, reason) | spared
    return {str(node.name): reason for node, reason in spared.items()}


def _work(node: ir.Node) -> int | None:
    """Return the work of a layer, in multiplications; None where a size is open."""
    count, weight = macs(node), node.inputs[1]
    return None if count is None else count + _READ * math.prod(stored_shape(weight))


def _candidates(
    placement: Placement, costs: Costs
) -> Iterator[tuple[float, Sequence[ir.Node], str]]:
    """Yield error, layers and reason of what would better stay in float."""
    total = sum(one.error for one in costs)
    for one in costs:
        readers = _readers(one.values, placement)
        if one.error > SHARE * total and readers and all(map(is_layer, readers)):
            share = f"{one.error / total:.0%}"
            reason = f"rounding its input would bring {share} of the error expected of all"
            yield one.error, readers, reason
        for read in one.reads:
            if read.error > MATTERS * total and (left := read.left()) < POOR:
                reason = f"rounding its input would leave {left:.0f} dB of what it computes"
                yield read.error, [read.node], reason


def _readers(group: Sequence[ir.Value], placement: Placement) -> list[ir.Node]:
    """Return what reads tensors of a group on integers, and does not write one of them."""
    within = {value.producer() for value in group} | set(placement.absorbed)
    found = {node: None for value in group for node in value.consumers()}
    return [node for node in found if node in placement.integer and node not in within]
