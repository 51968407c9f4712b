"""Gates of tensors whose channels have scales of their own, as 1x1 depthwise convolutions.

HardSigmoid takes x in real units. Where x' = x / sigma is stored,

    clip(a x + b, 0, 1) = clip(w x' + b, 0, 1),    w = a sigma,

which is a depthwise convolution, and the grid of its output, 0 to 1, is what clips. So what a hard
gate reads and gates keeps its channel scales (see :mod:`spiq.emit.gates` for tensors without). With
one scale for all channels, the outputs of a PicoDet layout detector had 2 to 11 dB on photographs
of text and have 5 to 20, an orientation classifier had 16 and has 21; the detector takes 1.1 times
as long, 0.5 times float's time.

Sigmoid reads x = sigma x', which such a convolution writes on a grid from -8 to 8: beyond, a
Sigmoid is within 0.0004 of its end, and a step of 1/16 moves it by 0.008 at most.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, replace, unique_name
from spiq.planning.plan.grid import Grid
from spiq.planning.plan.resolve import Resolved, StoredTensor
from spiq.rewriting.fold_scales import channel_scale
from spiq.rewriting.round_weights import RoundedLayer
from spiq.stats.channel import Array
from spiq.targets import WEIGHT_BITS

_MOST_BIAS = 2.0**30
"""The integer that a bias may be."""


def _sigmoid(*, signed: bool) -> Grid:
    """Return the grid that what a Sigmoid reads is stored on."""
    return Grid(bits=8, step=1 / 16, zero_point=0 if signed else 128, signed=signed)


@dataclass(frozen=True)
class Gates:
    """Gates that became convolutions.

    Attributes:
        rounded: The integers of the convolutions.
        resolved: What is done to the network, with the convolutions and what they write.
    """

    rounded: dict[ir.Node, RoundedLayer]
    resolved: Resolved


def gates_as_convolutions(graph: ir.Graph, resolved: Resolved, *, signed: bool) -> Gates:
    """Put convolutions for, or before, gates on integers that read folded tensors, in place.

    Args:
        graph: The network, scales folded.
        resolved: What is stored and how.
        signed: Whether grids are.
    """
    rounded, integer, tensors = {}, [*resolved.integer], dict(resolved.tensors)
    for node in list(graph):
        if node.op_type not in ("HardSigmoid", "Sigmoid") or node.name not in resolved.integer:
            continue
        source = resolved.tensors[str(node.inputs[0].name)]  # type: ignore[union-attr]
        sigma = channel_scale(source)
        if sigma is None:
            continue
        convolution, layer = _convolution(node, sigma, source.grid.step)
        rounded[convolution] = layer
        if node.op_type == "Sigmoid":
            unfolded = _put_before(graph, node, convolution)
            integer.append(str(convolution.name))
            tensors[str(unfolded.name)] = _unfolded(source, _sigmoid(signed=signed))
        else:
            bounded = saturates(resolved.tensors[str(node.outputs[0].name)])
            _put(graph, node, convolution, bounded=bounded)
    return Gates(rounded, dataclasses.replace(resolved, integer=tuple(integer), tensors=tensors))


def _unfolded(source: StoredTensor, grid: Grid) -> StoredTensor:
    ones = (1.0,) * len(source.channel_scale)
    return StoredTensor(grid=grid, channel_scale=ones, layout=source.layout)


def saturates(tensor: StoredTensor) -> bool:
    """Return whether nothing below 0 or above 1 is on the grid."""
    grid = tensor.grid
    low, high = ((end - grid.zero_point) * grid.step for end in (grid.qmin, grid.qmax))
    return low >= 0 and high <= 1 + 1e-5


def _convolution(node: ir.Node, sigma: Array, step: float) -> tuple[ir.Node, RoundedLayer]:
    alpha, beta = _slope(node)
    weight = alpha * sigma
    shape = (-1, 1) + (1,) * (len(node.inputs[0].shape or ()) - 2)  # type: ignore[union-attr]

    # a step per channel makes the weight an integer, unless the bias would not be one then
    most = 2 ** (WEIGHT_BITS - 1) - 1
    steps = np.maximum(np.abs(weight) / most, abs(beta) / (step * _MOST_BIAS)).astype(np.float32)
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
    own = f"{name}_unfolded" if node.op_type == "Sigmoid" else name
    return ir.node("Conv", inputs, sizes, name=own), layer


def _slope(node: ir.Node) -> tuple[float, float]:
    """Return a and b of a x + b, which the gate bounds."""
    if node.op_type == "Sigmoid":
        return 1.0, 0.0
    return node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)


def _put_before(graph: ir.Graph, node: ir.Node, convolution: ir.Node) -> ir.Value:
    """Let the gate read what the convolution writes; return that."""
    source, made = node.inputs[0], convolution.outputs[0]
    assert source is not None
    made.name = unique_name(graph, f"{source.name}_unfolded")
    made.type, made.shape = source.type, source.shape
    graph.insert_before(node, convolution)
    node.replace_input_with(0, made)
    return made


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
