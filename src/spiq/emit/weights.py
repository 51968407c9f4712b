"""Write the integers of a layer's weight and bias, each behind a DequantizeLinear.

A weight has one step per output channel, or one for all where the target takes no more. A bias has
the product of that and of the input's step, which is what integer sums are on; or 8 bits on a step
of its own; or it stays in float, for targets that add it behind the sums.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, unique_name
from spiq.graph.lazy import Later
from spiq.planning.plan.resolve import Resolved, StoredTensor
from spiq.rewriting.round_weights import RoundedLayer


def emit_weight(
    graph: ir.Graph,
    resolved: Resolved,
    node: ir.Node,
    integers: RoundedLayer,
    source: StoredTensor,
) -> None:
    """Let a layer read integers in place of its weight and bias.

    Args:
        graph: The network.
        resolved: What is stored and how.
        node: The layer.
        integers: Its weight and bias.
        source: How what it reads is stored.
    """
    name = str(node.inputs[1].name)  # type: ignore[union-attr]
    axis = 1 if node.op_type == "MatMul" else 0
    steps = np.asarray(integers.step if integers.per_channel else integers.step[0])
    layer = resolved.layers.get(str(node.name))
    bits = 8 if layer is None else layer.bits  # of a gate there is no entry
    weight = _stored(graph, name, f"int{bits}", integers.weight, steps)
    spent = list(node.inputs[1:3])
    _replace_input(graph, node, 1, weight, axis)
    if node.op_type != "MatMul":
        own = integers.bias_step
        summed = np.float32(source.grid.step) * steps if own is None else np.asarray(own)
        _emit_bias(graph, node, f"{name}_bias", integers.bias, summed)
    for value in spent:
        if value is not None and not value.uses():
            graph.initializers.pop(str(value.name), None)


def _emit_bias(
    graph: ir.Graph, node: ir.Node, name: str, bias: np.ndarray, steps: np.ndarray
) -> None:
    """Let a layer read its bias: integers on ``steps``, or floats."""
    if bias.dtype != np.float32:
        _replace_input(graph, node, 2, _stored(graph, name, str(bias.dtype), bias, steps), 0)
        return
    node.resize_inputs(3)
    node.replace_input_with(2, initializer(graph, f"{name}_real", bias))


def _stored(
    graph: ir.Graph, name: str, kind: str, integers: np.ndarray | Later, steps: np.ndarray
) -> list[ir.Value]:
    """Return integers, their steps, and zero points of 0."""
    return [
        initializer(graph, f"{name}_{kind}", integers),
        initializer(graph, f"{name}_scale", np.asarray(steps)),
        initializer(graph, f"{name}_zero_point", np.zeros_like(steps, integers.dtype)),
    ]


def _replace_input(
    graph: ir.Graph, node: ir.Node, index: int, inputs: Sequence[ir.Value], axis: int
) -> None:
    output = ir.Value(
        name=unique_name(graph, f"{inputs[0].name}_dequantized"),
        type=ir.TensorType(ir.DataType.FLOAT),
        shape=inputs[0].shape,
    )
    attributes = {"axis": axis} if inputs[1].shape else {}
    back = ir.node("DequantizeLinear", inputs, attributes, outputs=[output], name=output.name)
    graph.insert_before(node, back)
    if len(node.inputs) <= index:
        node.resize_inputs(index + 1)
    node.replace_input_with(index, output)
