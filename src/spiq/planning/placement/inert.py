"""Operators with weights that are no layers, and stay in float: said once for each kind.

LSTM, GRU and RNN have no static integer kernel in any of the runtimes (ONNX Runtime's
DynamicQuantizeLSTM measures its input anew each time). The graphs inside of If, Loop and Scan are
left as they are, whatever layers they hold.
"""

from collections.abc import Iterator

import onnx_ir as ir

from spiq.graph.query import layer_nodes, where
from spiq.planning.placement.fitness import no_kernel
from spiq.targets import Target

_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})


def inert(graph: ir.Graph, target: Target) -> list[str]:
    """Return a sentence for each kind of operator that stays in float, with its first node."""
    found: dict[str, list[ir.Node]] = {}
    for node in graph:
        if node.domain == "" and (reason := _reason(node, target)):
            found.setdefault(reason, []).append(node)
    return [f"{_named(nodes)} in float: {reason}" for reason, nodes in found.items()]


def _reason(node: ir.Node, target: Target) -> str:
    if node.op_type in _RECURRENT:
        return no_kernel(node, target)
    if any(layer_nodes(body) or inert(body, target) for body in _bodies(node)):
        return f"graphs inside of {node.op_type} are left as they are"
    return ""


def _bodies(node: ir.Node) -> Iterator[ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def _named(nodes: list[ir.Node]) -> str:
    first, more = where(nodes[0]), len(nodes) - 1
    return f"{first} and {more} more stay" if more else f"{first} stays"
