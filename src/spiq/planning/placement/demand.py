"""What has to be stored as integers: what layers and products read, or what that shows.

Where movers make a tensor of another, the other is stored in its place, since integers are moved in
a quarter of the time. Targets may want more: the operand beside a layer in a sum, or everything.
"""

from collections.abc import Collection

import onnx_ir as ir

from spiq.graph.query import data_inputs, is_float32, sole_consumer
from spiq.stats.movers import rolled
from spiq.stats.propagate import Measured
from spiq.stats.routing import mixture, route
from spiq.targets import Target

_MIXES = frozenset({"DepthToSpace", "Reshape", "Transpose"})
"""Movers that may mix channels on integers: all that are mixed share a scale."""

_TURNS = frozenset({"Flatten", "Pad", "Reshape", "Split", "Squeeze", "Transpose", "Unsqueeze"})
"""Movers that show all of what they read, once."""

_CUTS = frozenset({"Gather", "Slice"})
"""Movers that show a part."""


def demanded_by(
    graph: ir.Graph,
    layers: Collection[ir.Node],
    products: Collection[ir.Node],
    measured: Measured,
    target: Target,
) -> tuple[set[ir.Value], dict[ir.Node, None]]:
    """Return what has to be stored, and what in float reads it as it is stored, not as it was.

    Args:
        graph: The prepared network.
        layers: Those that run on integers.
        products: Products of two tensors that do.
        measured: Statistics of the network's tensors.
        target: The runtime.
    """
    demanded = {node.inputs[0] for node in layers if node.inputs[0] is not None}
    demanded |= {value for node in products for value in data_inputs(node)}
    demanded |= {source for value in demanded if (source := _carried_up(value, measured, target))}
    if target.whole:
        demanded |= {value for value in measured.stats if is_float32(value)}
        return demanded, {node: None for node in graph if node not in layers}
    beside = _shortcuts(graph, layers, measured) if target.shortcuts else {}
    return demanded | set(beside.values()), dict.fromkeys(beside)


def _shortcuts(
    graph: ir.Graph, layers: Collection[ir.Node], measured: Measured
) -> dict[ir.Node, ir.Value]:
    """Return the sums that each end a layer, and their other operand, which is to be stored."""
    found: dict[ir.Node, ir.Value] = {}
    for node in graph:
        operands = data_inputs(node)
        if node.op_type != "Add" or node.domain != "" or len(operands) != 2:
            continue
        ends = [v.producer() in layers and sole_consumer(v) is node for v in operands]
        shortcut = operands[1 if ends[0] and not ends[1] else 0]
        if any(ends) and shortcut in measured.stats:
            found[node] = shortcut
    return found


def _carried_up(value: ir.Value, measured: Measured, target: Target) -> ir.Value | None:
    """Return the tensor of which ``value`` shows all, or of which such as it show all; or None.

    It is stored in its place: integers are moved in a quarter of the time. So it is where ``value``
    shows the largest of its numbers, which are as large on the grid, or means, in which what is
    rounded before hardly counts.
    """
    found: ir.Value | None = None
    while (node := value.producer()) is not None and node.domain == "":
        early = node.op_type in target.stored_before and len(node.outputs) == 1
        source = node.inputs[0] if early else _moved(node)
        if source is None or source not in measured.stats or source.producer() is None:
            break
        if any(one not in measured.stats for one in (*data_inputs(node), *node.outputs)):
            break
        if not is_moved_whole(node, measured) and not (early and sole_consumer(source) is node):
            break
        found = value = source
    return found


def _moved(node: ir.Node) -> ir.Value | None:
    """Return the tensor that a node shows in another order, or a part of where others show more."""
    source = node.inputs[0]
    if node.op_type == "Concat":
        return rolled(node)
    if node.op_type in _TURNS or source is None:
        return source
    shared = len(source.consumers()) > 1 and all(n.op_type in _CUTS for n in source.consumers())
    return source if node.op_type in _CUTS and shared else None


def is_moved_whole(node: ir.Node, measured: Measured) -> bool:
    """Return whether a mover shows its input and nothing else, on one grid."""
    layouts = [measured.stats[value].layout for value in data_inputs(node)]
    if route(node, layouts) is not None:
        return True
    return node.op_type in _MIXES and mixture(node, layouts) is not None
