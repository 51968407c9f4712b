"""A number behind a product of two tensors on integers: part of a step.

s (a b) with a = step (q - z) is the product of b and of the same integers, read with s times their
step. Only what is one number folds so, and only where the product ends in float; there the runtime
would multiply all of it once more.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import bypass_step, initializer, unique_name
from spiq.graph.query import constant, is_constant, sole_consumer
from spiq.passes.products import number_of
from spiq.planning.plan.resolve import Resolved


def scales_into_products(graph: ir.Graph, resolved: Resolved) -> int:
    """Fold in place; return how many numbers were folded."""
    integer, folded = set(resolved.integer), 0
    for node in list(graph):
        if node.op_type != "MatMul" or node.name not in integer or node.domain != "":
            continue
        after = sole_consumer(node.outputs[0])
        number = number_of(after) if after is not None else None
        if after is None or number is None or number <= 0:
            continue
        back = next((made for value in node.inputs[:2] if (made := _read(value))), None)
        if back is not None and bypass_step(after):
            _read_anew(graph, node, back, number)
            folded += 1
    return folded


def _read(value: ir.Value | None) -> ir.Node | None:
    """Return the DequantizeLinear behind which a tensor is read, if that is what it is."""
    back = value.producer() if value is not None else None
    reads = back is not None and back.op_type == "DequantizeLinear"
    return back if reads and not is_constant(back.inputs[0]) else None  # type: ignore[union-attr]


def _read_anew(graph: ir.Graph, node: ir.Node, back: ir.Node, number: float) -> None:
    """Let ``node`` read the integers of ``back`` with another step."""
    step = np.asarray(constant(back.inputs[1]), np.float64) * number
    name = unique_name(graph, f"{node.name}_scaled")
    scale = initializer(graph, f"{name}_step", step.astype(np.float32))
    output = ir.Value(name=name, type=back.outputs[0].type, shape=back.outputs[0].shape)
    inputs = [back.inputs[0], scale, *back.inputs[2:3]]
    graph.insert_before(node, ir.node("DequantizeLinear", inputs, outputs=[output], name=name))
    node.replace_input_with(list(node.inputs).index(back.outputs[0]), output)
    if not back.outputs[0].uses() and not back.outputs[0].is_graph_output():
        graph.remove(back, safe=True)
