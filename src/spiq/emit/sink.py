"""Channel scales are given back behind what only moves data, so that bytes are moved.

    DequantizeLinear -> Mul by sigma -> Reshape, Transpose ... -> operator in float

becomes the same with the Mul last, sigma laid out as the data are then. The runtime takes a
DequantizeLinear past movers by itself, but not past a Mul: the MLPs of PVTv2, which turn maps
into tokens in front of a GELU, moved four bytes for one and, on a core of a server, took 0.9 ms
for a Transpose of 0.04. Where several movers read the product, as they cut queries, keys and values
from one tensor, a Mul stands behind each: XCiT, whose queries and keys are normalized in float,
takes 0.9 of the time.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, unique_name
from spiq.graph.query import constant, data_inputs, dims
from spiq.stats.maps import ZERO
from spiq.stats.routing import route

_MOVES = frozenset({"Flatten", "Gather", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
                    "Unsqueeze"})  # fmt: skip


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
    waiting, moved = [node], False
    while waiting:
        later = _passed(graph, waiting.pop())
        waiting += later
        moved = moved or bool(later)
    return moved


def _passed(graph: ir.Graph, node: ir.Node) -> list[ir.Node]:
    """Put a Mul behind each mover that reads it, and return these; none where that cannot be."""
    value, factor = node.outputs[0], constant(node.inputs[1])
    movers = list(dict.fromkeys(value.consumers()))
    if factor is None or not _move_no_more(value, movers):
        return []
    found = [route(mover, [factor.shape]) for mover in movers]
    routes = [maps for maps in found if maps is not None and all((m != ZERO).all() for m in maps)]
    if len(routes) < len(movers):
        return []

    flat, name, source, made = factor.reshape(-1), str(node.name), node.inputs[0], []
    for mover, maps in zip(movers, routes, strict=True):
        mover.replace_input_with(0, source)
        for result, shown in zip(mover.outputs, maps, strict=True):
            made.append(_scaled(graph, result, np.ascontiguousarray(flat[shown]), name))
    graph.remove(node, safe=True)
    return made


def _move_no_more(value: ir.Value, movers: Sequence[ir.Node]) -> bool:
    """Return whether movers alone read a tensor, and make no more of it than it holds."""
    made = [result for mover in movers for result in mover.outputs]
    if not movers or any(result.is_graph_output() for result in (value, *made)):
        return False
    alone = all(mover.op_type in _MOVES and data_inputs(mover) == [value] for mover in movers)
    return alone and (len(made) == 1 or sum(map(_size, made)) <= _size(value))


def _size(value: ir.Value) -> int:
    """Return how many numbers a tensor holds, sizes that are open being 1."""
    return math.prod(size or 1 for size in dims(value) or [])


def _scaled(graph: ir.Graph, result: ir.Value, factor: np.ndarray, name: str) -> ir.Node:
    """Put a Mul behind a mover's output; the product takes its name."""
    mover = result.producer()
    assert mover is not None
    later = ir.Value(name=result.name, type=result.type, shape=result.shape)
    result.name = unique_name(graph, f"{later.name}_folded")
    result.replace_all_uses_with(later)
    again = initializer(graph, f"{name}_factor", factor)
    made = ir.node(
        "Mul", [result, again], outputs=[later], name=unique_name(graph, f"{later.name}_real")
    )
    graph.insert_after(mover, made)
    return made
