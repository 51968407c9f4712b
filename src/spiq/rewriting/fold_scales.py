"""Fold the channel scales of a plan into the weights: the network's function stays as it is.

With x' = x / sigma_in and y' = y / sigma_out, y = W x + b becomes

    y' = (W sigma_in / sigma_out) x' + b / sigma_out.

Operators between layers are homogeneous and change nothing. A BatchNormalization that runs on
integers is first written as what it is, a 1x1 depthwise convolution. Activations that the grid
behind them stands for are removed; where that grid does not end at 0, a ReLU stays, and the other
end of the grid is the bound.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import bypass, initializer, replace, unique_name
from spiq.graph.lazy import Change
from spiq.graph.query import sole_consumer
from spiq.passes.batchnorm import batchnorm_affine
from spiq.passes.layer_weights import bias_of, columns_scaled, reweighted, set_weight_and_bias
from spiq.planning.plan.resolve import Resolved, StoredTensor
from spiq.stats.channel import Array


def fold_scales(graph: ir.Graph, resolved: Resolved) -> list[ir.Node]:
    """Fold in place; return the quantized layers, in order."""
    absorbed = set(resolved.absorbed)
    norms_as_convolutions(graph, resolved)
    scales = {node: scales_beside(node, resolved) for node in graph if node.name in resolved.layers}
    for node in list(graph):
        if node.name in absorbed:
            _absorb(node, resolved)
    layers = [node for node in graph if node.name in resolved.layers]
    for node in layers:
        _fold(node, *scales[node])
    return layers


def norms_as_convolutions(graph: ir.Graph, resolved: Resolved) -> None:
    """Write BatchNormalizations that run on integers as 1x1 depthwise convolutions, in place."""
    integer = set(resolved.integer)
    for node in list(graph):
        if node.name in integer and node.op_type == "BatchNormalization":
            replace(node, _depthwise(node, graph))


def _absorb(node: ir.Node, resolved: Resolved) -> None:
    stored, source = resolved.tensors[str(node.outputs[0].name)], node.inputs[0]
    if stored.grid.zero_point == stored.grid.qmin:
        bypass(node)
        return
    if channel_scale(stored) is not None and source is not None and node.graph is not None:
        source.name = unique_name(node.graph, f"{source.name}_folded")  # it is another tensor now
    if node.op_type != "Relu":
        replace(node, ir.node("Relu", node.inputs[:1], name=node.name))


def _depthwise(node: ir.Node, graph: ir.Graph) -> ir.Node:
    a, b = batchnorm_affine(node)
    rank = len(node.inputs[0].shape or ()) if node.inputs[0] is not None else 4
    kernel = (1,) * (rank - 2)
    weight = a.astype(np.float32).reshape(-1, 1, *kernel)
    return ir.node(
        "Conv",
        [
            node.inputs[0],
            initializer(graph, f"{node.name}_scale", weight),
            initializer(graph, f"{node.name}_shift", b.astype(np.float32)),
        ],
        {"group": len(a), "kernel_shape": list(kernel)},
        name=node.name,
    )


def scales_beside(node: ir.Node, resolved: Resolved) -> tuple[Array | None, Array | None]:
    """Return the channel scales of what a layer reads and of what is stored of its output.

    None where they are 1 throughout, or nothing is stored. Activations that the grid behind them
    stands for are still there.
    """
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    after = sole_consumer(result)
    if after is not None and after.name in resolved.absorbed:
        result = after.outputs[0]
    before, behind = (resolved.tensors.get(str(value.name)) for value in (source, result))
    return channel_scale(before), channel_scale(behind)


def folding(node: ir.Node, sigma_in: Array | None, sigma_out: Array | None) -> Change:
    """Return what multiplies a layer's weight where these scales are beside it.

    Args:
        node: The layer.
        sigma_in: Channel scale of its input, shape (C,); None where it is 1.
        sigma_out: Channel scale of its output, shape (O,); None where it is 1.
    """
    matrix, groups = node.op_type == "MatMul", node.attributes.get_int("group", 1)

    def folded(weight: np.ndarray) -> np.ndarray:
        made: np.ndarray = weight
        if sigma_in is not None and matrix:
            made = weight * sigma_in.astype(weight.dtype)[:, None]
        elif sigma_in is not None:
            wide = np.broadcast_to(sigma_in, groups * weight.shape[1])
            made = columns_scaled(groups, weight, wide)
        if sigma_out is None:
            return made
        shape = (1, -1) if matrix else (-1,) + (1,) * (weight.ndim - 1)
        inverse = 1 / np.broadcast_to(sigma_out, weight.shape[-1 if matrix else 0])
        rows = inverse.reshape(shape).astype(weight.dtype)
        if made is weight:
            scaled: np.ndarray = weight * rows
            return scaled
        made *= rows  # in the memory of its own that it has
        return made

    return folded


def _fold(node: ir.Node, sigma_in: Array | None, sigma_out: Array | None) -> None:
    bias = bias_of(node)
    made = reweighted(node, folding(node, sigma_in, sigma_out))
    if node.op_type != "MatMul":
        inverse = 1.0 if sigma_out is None else 1 / np.broadcast_to(sigma_out, bias.shape)
        set_weight_and_bias(node, made, bias * inverse)
    elif sigma_in is not None or sigma_out is not None:
        node.replace_input_with(1, initializer(node.graph, f"{node.name}_weight", made))  # type: ignore[arg-type]


def channel_scale(stored: StoredTensor | None) -> Array | None:
    """Return sigma of a tensor, shape (C,); None where it is 1 throughout or nothing is stored."""
    if stored is None or all(scale == 1 for scale in stored.channel_scale):
        return None
    return np.array(stored.channel_scale)
