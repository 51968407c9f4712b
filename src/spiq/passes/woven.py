"""Activations in front of the DepthToSpace that they stand behind: where they join their layer.

    f(DepthToSpace(x)) = DepthToSpace(f(x))    for f of single numbers,

as behind PixelShuffle, or a ConvTranspose (:mod:`spiq.passes.phases`). A ReLU behind a convolution
costs nothing on integers; one behind anything else is computed in float, with a grid on each side.
"""

import onnx_ir as ir

from spiq.graph.edit import replace, unique_name
from spiq.graph.operators import ACTIVATIONS
from spiq.graph.query import data_inputs, sole_consumer


def activations_before_weaving(model: ir.Model) -> int:
    """Move them in place; return how many were moved."""
    moved = 0
    for node in list(model.graph):
        while node.op_type == "DepthToSpace" and node.domain == "":
            after = sole_consumer(node.outputs[0])
            if after is None or after.op_type not in ACTIVATIONS or len(data_inputs(after)) > 1:
                break
            node = _swapped(model.graph, node, after)
            moved += 1
    return moved


def _swapped(graph: ir.Graph, weave: ir.Node, after: ir.Node) -> ir.Node:
    """Swap two nodes; return the DepthToSpace, which now comes last."""
    source = weave.inputs[0]
    assert source is not None
    name = unique_name(graph, f"{source.name}_{after.op_type}")
    made = ir.Value(name=name, type=source.type, shape=source.shape)
    inputs = [source, *after.inputs[1:]]
    kept = [*after.attributes.values()]
    graph.insert_before(
        weave, ir.Node("", after.op_type, inputs, kept, outputs=[made], name=after.name)
    )
    last = ir.Node("", weave.op_type, [made], [*weave.attributes.values()], name=weave.name)
    replace(after, last)
    graph.remove(weave, safe=True)
    return last
