"""Hard gates of tensors whose channels have scales of their own, as 1x1 depthwise convolutions.

HardSigmoid takes x in real units. Where x' = x / sigma is stored,

    clip(a x + b, 0, 1) = clip(w x' + b, 0, 1),    w = a sigma,

which is a depthwise convolution, and the grid of its output, 0 to 1, is what clips. So what a hard
gate reads and gates keeps its channel scales (see :mod:`spiq.emit.gates` for tensors without). With
one scale for all channels, the outputs of a PicoDet layout detector had 2 to 11 dB on photographs
of text and have 5 to 20, an orientation classifier had 16 and has 21; the detector takes 1.1 times
as long, 0.5 times float's time.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, replace, unique_name
from spiq.planning.plan.resolve import Resolved, StoredTensor
from spiq.rewriting.fold_scales import channel_scale
from spiq.rewriting.round_weights import RoundedLayer
from spiq.stats.channel import Array

_MOST, _MOST_BIAS = 127, 2.0**30
"""The integers that a weight is, and that a bias may be."""


def gates_as_convolutions(graph: ir.Graph, resolved: Resolved) -> dict[ir.Node, RoundedLayer]:
    """Replace each HardSigmoid on integers that reads a folded tensor, in place.

    Returns:
        The integers of the convolutions.
    """
    rounded, integer = {}, set(resolved.integer)
    for node in list(graph):
        if node.op_type != "HardSigmoid" or node.name not in integer:
            continue
        source = resolved.tensors[str(node.inputs[0].name)]  # type: ignore[union-attr]
        sigma = channel_scale(source)
        if sigma is not None:
            bounded = saturates(resolved.tensors[str(node.outputs[0].name)])
            convolution, layer = _convolution(node, sigma, source.grid.step)
            _put(graph, node, convolution, bounded=bounded)
            rounded[convolution] = layer
    return rounded


def saturates(tensor: StoredTensor) -> bool:
    """Return whether nothing below 0 or above 1 is on the grid."""
    grid = tensor.grid
    low, high = ((end - grid.zero_point) * grid.step for end in (grid.qmin, grid.qmax))
    return low >= 0 and high <= 1 + 1e-5


def _convolution(node: ir.Node, sigma: Array, step: float) -> tuple[ir.Node, RoundedLayer]:
    weight = node.attributes.get_float("alpha", 0.2) * sigma
    beta = node.attributes.get_float("beta", 0.5)
    shape = (-1, 1) + (1,) * (len(node.inputs[0].shape or ()) - 2)  # type: ignore[union-attr]

    # a step per channel makes the weight an integer, unless the bias would not be one then
    steps = np.maximum(np.abs(weight) / _MOST, abs(beta) / (step * _MOST_BIAS)).astype(np.float32)
    layer = RoundedLayer(
        np.rint(weight / steps).astype(np.int8).reshape(shape),
        steps,
        np.rint(beta / (step * steps.astype(np.float64))).astype(np.int32),
    )

    graph, name = node.graph, node.name
    assert graph is not None
    inputs = [
        node.inputs[0],
        initializer(graph, f"{name}_alpha", weight.astype(np.float32).reshape(shape)),
        initializer(graph, f"{name}_beta", np.full(len(weight), beta, np.float32)),
    ]
    sizes = {"group": len(weight), "kernel_shape": shape[2:]}
    return ir.node("Conv", inputs, sizes, name=name), layer


def _put(graph: ir.Graph, node: ir.Node, convolution: ir.Node, *, bounded: bool) -> None:
    """Put the convolution in the gate's place, a Clip behind it where the grid does not clip."""
    if bounded:
        replace(node, convolution)
        return
    linear = convolution.outputs[0]
    linear.name = unique_name(graph, f"{node.outputs[0].name}_linear")
    linear.type, linear.shape = node.outputs[0].type, node.outputs[0].shape
    graph.insert_before(node, convolution)
    ends = [
        initializer(graph, f"{node.name}_{end:.0f}", np.array(end, np.float32)) for end in (0, 1)
    ]
    replace(node, ir.node("Clip", [linear, *ends], name=f"{node.name}_clip"))
