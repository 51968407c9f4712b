"""Numbers that an operand of a product is multiplied by: behind the product.

(s q) k = s (q k), and so for q / s, with movers between or not. Attention is spelt both ways, and
with the root of s on either side. Behind the product s is part of what reads its integers, see
:mod:`spiq.emit.products`, and a MatMul in float takes it in, too.
"""

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import bypass_step, initializer, unique_name
from spiq.graph.query import (
    constant,
    data_inputs,
    is_constant,
    is_float32,
    rank,
    sole_consumer,
)

_MOVES = frozenset({"Reshape", "Transpose"})


class _Factor(NamedTuple):
    """A node that multiplies by a number."""

    node: ir.Node
    number: float


def scale_products(model: ir.Model) -> int:
    """Move numbers behind the products whose operands they multiply, in place."""
    moved = 0
    for node in list(model.graph):
        if node.op_type != "MatMul" or node.domain != "" or not is_float32(node.outputs[0]):
            continue
        operands = data_inputs(node)
        if len(operands) < 2 or operands[0] is operands[1] or node.outputs[0].is_graph_output():
            continue
        found = [f for value in operands if (f := _factor_above(value, node)) is not None]
        dropped = [factor for factor in found if bypass_step(factor.node)]
        if dropped:
            _put_behind(model.graph, node, float(np.prod([f.number for f in dropped])))
        moved += len(dropped)
    return moved


def _factor_above(value: ir.Value, reader: ir.Node) -> _Factor | None:
    """Return what multiplies an operand, if nothing else reads that."""
    while (node := value.producer()) is not None and sole_consumer(value) is reader:
        number = number_of(node)
        if number is not None:
            return _Factor(node, number)
        source = node.inputs[0]
        if node.op_type not in _MOVES or node.domain != "" or source is None:
            return None
        value, reader = source, node
    return None


def number_of(node: ir.Node) -> float | None:
    """Return the number that a node multiplies a tensor by; None if it does not."""
    if node.domain != "" or node.op_type not in ("Mul", "Div") or len(data_inputs(node)) != 1:
        return None
    turned = is_constant(node.inputs[0])
    array = constant(node.inputs[0 if turned else 1])
    if array is None or array.size != 1 or (turned and node.op_type == "Div"):
        return None
    if array.ndim > (rank(data_inputs(node)[0]) or 0):
        return None
    number = float(array.reshape(-1)[0])
    return number if node.op_type == "Mul" else 1 / number if number else None


def _put_behind(graph: ir.Graph, node: ir.Node, number: float) -> None:
    """Multiply what ``node`` writes."""
    result = node.outputs[0]
    uses = [(use.node, use.idx) for use in result.uses()]
    name = unique_name(graph, f"{result.name}_scaled")
    made = ir.Value(name=name, type=result.type, shape=result.shape)
    factor = initializer(graph, f"{name}_factor", np.array(number, np.float32))
    graph.insert_after(node, ir.node("Mul", [result, factor], outputs=[made], name=name))
    for reader, index in uses:
        reader.replace_input_with(index, made)
