"""HardSigmoid on integers, one scale for all channels: a sum whose grid saturates.

clip(a x + b, 0, 1) is the sum of x, read with a times its step, and the constant b, on a grid from
0 to 1: an integer sum saturates there by itself. ONNX Runtime has an integer kernel for the sum and
none for HardSigmoid, which would be computed in float between two conversions. (Of a tensor whose
channels have scales of their own it is a convolution, :mod:`spiq.rewriting.gates`.)
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, replace, unique_name
from spiq.planning.plan.resolve import Resolved
from spiq.rewriting.gates import saturates

_B = 127
"""The integer that stands for b; any does, its step being b over it."""


def gates_as_sums(graph: ir.Graph, resolved: Resolved) -> int:
    """Replace each HardSigmoid between integers whose grid ends where it does, in place."""
    integer, changed = set(resolved.integer), 0
    for node in list(graph):
        if node.op_type != "HardSigmoid" or node.name not in integer:
            continue
        result, source = resolved.tensors.get(str(node.outputs[0].name)), node.inputs[0]
        back = source.producer() if source is not None else None
        beta = node.attributes.get_float("beta", 0.5)
        alpha = node.attributes.get_float("alpha", 0.2)
        reads = back is not None and back.op_type == "DequantizeLinear"
        if reads and result is not None and alpha > 0 and beta > 0 and saturates(result):
            _replace(graph, node, alpha, beta)
            changed += 1
    return changed


def _replace(graph: ir.Graph, node: ir.Node, alpha: float, beta: float) -> None:
    name, back = str(node.name), node.inputs[0].producer()  # type: ignore[union-attr]
    assert back is not None
    step = back.inputs[1].const_value.numpy()  # type: ignore[union-attr]
    scaled = initializer(graph, f"{name}_step", (alpha * step).astype(np.float32))
    kind = back.inputs[2].const_value.numpy().dtype  # type: ignore[union-attr]
    number = initializer(graph, f"{name}_beta", np.array(_B, kind))
    its_step = initializer(graph, f"{name}_beta_step", np.array(beta / _B, np.float32))
    zero = initializer(graph, f"{name}_beta_zero_point", np.array(0, kind))
    terms = [
        _read(graph, node, [back.inputs[0], scaled, back.inputs[2]], f"{name}_scaled"),
        _read(graph, node, [number, its_step, zero], f"{name}_shift"),
    ]
    replace(node, ir.node("Add", terms, name=name))


def _read(graph: ir.Graph, node: ir.Node, inputs: list[ir.Value | None], name: str) -> ir.Value:
    output = ir.Value(
        name=unique_name(graph, name),
        type=ir.TensorType(ir.DataType.FLOAT),
        shape=None if inputs[0] is None else inputs[0].shape,
    )
    read = ir.node("DequantizeLinear", inputs, outputs=[output], name=output.name)
    graph.insert_before(node, read)
    return output
