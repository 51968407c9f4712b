"""How heavy the tails of a tensor are: the degrees of freedom of the error model's distribution.

What adds up many terms is nearer to normal than its terms. Power beyond 4, 6 and 8 deviations, its
logarithm to base 10, on 24 real images each, medians over the layers of ten published networks:

    behind dense layers         -2.9 to -3.9    -4.0 to -7.9    -5.1 and less
    behind depthwise layers     -2.0 to -2.5    -2.6 to -3.3    -3.3 to -4.5
    T of 6.5 degrees                -2.7            -3.4            -3.9
    T of 9 degrees                  -3.1            -4.2            -5.0

So sums of two tensors have 9, and what layers of 16 inputs and more write in the first half of the
network. Late layers stand for things that few images hold: with 9 for theirs, too, MobileNetV1 for
persons loses 6 dB and YOLOv3-nano 1 (docs/experiments.md).
"""

from collections.abc import Collection

import onnx_ir as ir

from spiq.graph.query import data_inputs, stored_shape, weight_nodes
from spiq.planning.errors.error_model import FREEDOM, LIGHT_FREEDOM
from spiq.stats.movers import MOVERS
from spiq.stats.rules.activations import function_of

_MANY, _EARLY = 16, 0.5
"""Input channels of a layer from which on its outputs are sums of many, and up to what part of the
network. With 24 inputs in place of 16, YOLO-Fastest gains nothing."""


def early_sums(graph: ir.Graph) -> frozenset[ir.Node]:
    """Return the convolutions of many inputs in the first half of a network."""
    layers = list(weight_nodes(graph))
    early = layers[: int(_EARLY * (len(layers) - 1)) + 1]
    return frozenset(node for node in early if _adds_up_many(node))


def _adds_up_many(node: ir.Node) -> bool:
    shape = stored_shape(node.inputs[1])
    return node.op_type == "Conv" and len(shape) > 1 and shape[1] >= _MANY


def freedom_of(value: ir.Value, early: Collection[ir.Node] = ()) -> float:
    """Return the degrees of freedom of a tensor: of a sum, be it activated or moved, more.

    Not where all terms are rectified: a few large values make their tails, and few coincide.

    Args:
        value: The tensor.
        early: Layers whose outputs are sums, too.
    """
    node = value.producer()
    while node is not None and _hands_on(node):
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node is None:
        return FREEDOM
    if is_sum(node):
        return FREEDOM if all(map(_is_rectified, data_inputs(node))) else LIGHT_FREEDOM
    return LIGHT_FREEDOM if node in early else FREEDOM


def _hands_on(node: ir.Node) -> bool:
    """Return whether a node hands on the values of its first input, one by one."""
    return node.op_type in MOVERS or node.op_type == "MaxPool" or function_of(node) is not None


def _is_rectified(value: ir.Value) -> bool:
    """Return whether a tensor is a rectifier's, moved or normalized, or a sum of such."""
    node = value.producer()
    while node is not None and (node.op_type in MOVERS or node.op_type == "BatchNormalization"):
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node is not None and is_sum(node):
        return all(map(_is_rectified, data_inputs(node)))
    return node is not None and node.op_type in ("Relu", "Clip")


def is_sum(node: ir.Node) -> bool:
    """Return whether ``node`` adds two tensors."""
    return node.op_type in ("Add", "Sub") and len(data_inputs(node)) == 2
