"""Channel scales are given back behind what only moves data, so that bytes are moved.

    DequantizeLinear -> Mul by sigma -> Reshape, Transpose ... -> operator in float

becomes the same with the Mul last, sigma laid out as the data are then. The runtime takes a
DequantizeLinear past movers by itself, but not past a Mul: the MLPs of PVTv2, which turn maps
into tokens in front of a GELU, moved four bytes for one and, on a core of a server, took 0.9 ms
for a Transpose of 0.04.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, unique_name
from spiq.graph.query import constant, dims, sole_consumer
from spiq.stats.maps import ZERO
from spiq.stats.routing import route

_MOVES = frozenset({"Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def sink_scales(graph: ir.Graph) -> int:
    """Move every Mul behind a DequantizeLinear past movers, in place; return how many moved."""
    return sum(_sink(graph, node) for node in list(graph) if _restores(node))


def _restores(node: ir.Node) -> bool:
    """Return whether a node multiplies what is dequantized by a constant per channel."""
    if node.op_type != "Mul" or node.domain != "" or node.inputs[0] is None:
        return False
    source, factor = node.inputs[0].producer(), constant(node.inputs[1])
    dequantized = source is not None and source.op_type == "DequantizeLinear"
    return dequantized and factor is not None and factor.ndim == len(dims(node.inputs[0]) or [])


def _sink(graph: ir.Graph, node: ir.Node) -> bool:
    later: ir.Node | None = node
    moved = False
    while later is not None and (later := _passed(graph, later)) is not None:
        moved = True
    return moved


def _passed(graph: ir.Graph, node: ir.Node) -> ir.Node | None:
    """Put a Mul behind the mover that reads it, and return it; None where that cannot be."""
    value, factor = node.outputs[0], constant(node.inputs[1])
    mover = sole_consumer(value)
    if mover is None or mover.op_type not in _MOVES or mover.inputs[0] is not value:
        return None
    result = mover.outputs[0]
    maps = route(mover, [factor.shape]) if factor is not None else None
    if factor is None or maps is None or (maps[0] == ZERO).any() or result.is_graph_output():
        return None

    later = ir.Value(name=result.name, type=result.type, shape=result.shape)
    result.name = unique_name(graph, f"{later.name}_folded")
    result.replace_all_uses_with(later)
    mover.replace_input_with(0, node.inputs[0])
    shaped = np.ascontiguousarray(factor.reshape(-1)[maps[0]])
    name = str(node.name)
    graph.remove(node, safe=True)
    again = initializer(graph, f"{name}_factor", shaped)
    made = ir.node("Mul", [result, again], outputs=[later], name=name)
    graph.insert_after(mover, made)
    return made
