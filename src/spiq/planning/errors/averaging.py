"""What a mean over positions leaves of errors, of rounding and of clipping.

Of independent errors, as those of rounding are, a mean over n positions leaves 1/n of the power.
What is clipped lies together, in the few images that have much of what a channel stands for, and on
one side; of the signal itself, rho = Var[mean] / Var[x] is left. Of clipping about sqrt(rho / n) is
left, measured on 64 real images behind the last maps of published networks, so that it counts

    sqrt(rho n)

times as much as rounding:

                            1/n     clipping   sqrt(rho / n)   rho
    SqueezeNet            0.0059     0.030        0.024       0.098
    EtinyNet              0.0204     0.059        0.061       0.181
    CIFAR ResNet-20       0.0156     0.040        0.057       0.210
    MobileNetV1, persons  0.111      0.134        0.150       0.204
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.query import spatial
from spiq.passes.cleanup import kernel_shape
from spiq.stats.propagate import Measured

_POSITIONS = 49.0
"""Of a map whose size is not known."""


def averaged(node: ir.Node) -> float:
    """Return by how much a mean over positions lowers the power of independent errors."""
    if node.op_type == "AveragePool":
        return float(np.prod(kernel_shape(node)))
    if node.op_type in ("GlobalAveragePool", "ReduceMean"):
        sizes = spatial(node.inputs[0])
        return float(np.prod(sizes)) if sizes else _POSITIONS
    return 1.0


def lasting(value: ir.Value, measured: Measured) -> float:
    """Return how many times as much as rounding it clipping counts, where only means read it."""
    readers = value.consumers()
    if not readers or value.is_graph_output():
        return 1.0
    return min(_lasting(node, value, measured) for node in readers)


def _lasting(node: ir.Node, value: ir.Value, measured: Measured) -> float:
    count, result = averaged(node), measured.stats.get(node.outputs[0])
    whole = float(measured.stats[value].var.sum())
    if count == 1 or result is None or not whole:
        return 1.0
    share = float(result.var.sum()) / whole
    return float(np.sqrt(np.clip(share * count, 1, count)))
