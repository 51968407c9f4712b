"""Decide which layers run on integers where ranges are measured as the network runs.

Every Conv, Gemm and MatMul by a constant matrix does, unless excluded: nothing has to be known of
its input. All else stays in float, nothing is stored, and so nothing has to go together.
"""

from collections.abc import Mapping

import onnx_ir as ir

from spiq.graph.query import rank, weight_nodes
from spiq.planning.placement.fitness import unfit
from spiq.planning.placement.values import Placement
from spiq.targets import Target


def place_dynamic(graph: ir.Graph, target: Target, exclude: Mapping[str, str]) -> Placement:
    """Decide what runs on integers.

    Args:
        graph: The prepared network.
        target: The runtime.
        exclude: Names of layers to leave in float, and why.
    """
    placement = Placement()
    for node in weight_nodes(graph):
        reason = unfit(node, target, exclude)
        if not reason and node.op_type == "MatMul" and rank(node.inputs[1]) != 2:
            reason = "its weight is no matrix"
        if reason:
            placement.reasons[node] = reason
        else:
            placement.integer[node] = None
    return placement
