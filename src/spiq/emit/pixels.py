"""Bytes that come in are the integers of a layer already.

    input of uint8 -> Cast to float -> QuantizeLinear with step 1, zero point 0

is the input itself: what reads the integers reads that.
"""

import onnx_ir as ir

from spiq.graph.query import constant


def keep_bytes(graph: ir.Graph) -> int:
    """Let readers of such integers read the input, in place; return how many are spared."""
    kept = 0
    for node in list(graph):
        source = _bytes_of(node)
        if source is not None and not node.outputs[0].is_graph_output():
            node.outputs[0].replace_all_uses_with(source)
            graph.remove(node, safe=True)
            kept += 1
    return kept


def _bytes_of(node: ir.Node) -> ir.Value | None:
    """Return the input whose bytes a QuantizeLinear gives back; None where it does not."""
    if node.op_type != "QuantizeLinear" or node.domain != "" or len(node.inputs) < 3:
        return None
    cast = node.inputs[0].producer() if node.inputs[0] is not None else None
    step, zero = constant(node.inputs[1]), constant(node.inputs[2])
    if cast is None or cast.op_type != "Cast" or cast.domain != "" or step is None or zero is None:
        return None
    source = cast.inputs[0]
    plain = step.shape == () and float(step) == 1 and zero.dtype == "uint8" and not zero.any()
    is_bytes = source is not None and source.dtype == ir.DataType.UINT8
    return source if plain and is_bytes else None
