"""Stacks of constant matrices as tensors: attention with keys or values that do not change.

A MatMul by a constant of rank 3 and more has a matrix for each head. It is no layer, with one
weight whose rows have scales of their own, but a product of two tensors, one of which happens to be
known. The constant is given a node that shows it, so that it is taken for what it is; the runtime
stores it as integers when it loads the network.
"""

import onnx_ir as ir

from spiq.graph.edit import named_after, unique_name
from spiq.graph.query import is_constant, rank


def stacks_as_tensors(model: ir.Model) -> int:
    """Show each stack that a MatMul multiplies by, in place."""
    shown: dict[ir.Value, ir.Value] = {}
    for node in list(model.graph):
        if node.op_type != "MatMul" or node.domain or all(map(is_constant, node.inputs)):
            continue
        for place, value in enumerate(node.inputs):
            if value is None or not is_constant(value) or (rank(value) or 0) <= 2:
                continue
            if value not in shown:
                shown[value] = _shown(model.graph, value, node)
            node.replace_input_with(place, shown[value])
    return len(shown)


def _shown(graph: ir.Graph, value: ir.Value, reader: ir.Node) -> ir.Value:
    name = unique_name(graph, named_after(value, "_shown"))
    node = ir.node("Identity", [value], name=name)
    made = node.outputs[0]
    made.name, made.type, made.shape = name, value.type, value.shape
    graph.insert_before(reader, node)
    return made
