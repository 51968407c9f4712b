"""How much an error in each channel of each tensor counts at the network's outputs.

The importance w_c of a channel is the power that arrives at the outputs, relative to the power of
the outputs' signal (:mod:`spiq.planning.errors.output_importance`), for an error of power 1 at
every position of that channel. It is carried from the outputs to the inputs: through an activation
by E[f'(x)^2], through a sum unchanged, through a layer by sum_o w_o sum_k W[o,c,k]^2 for the
channels among themselves, and for all of them together so that errors are passed as the signal is,
w . Var[x] staying what it was. (Errors of white noise alone would be passed less: layer by layer
they grow alike where the signal is alike. In ResNet-20, white noise would underrate an error at the
input a thousand times against one at the end. Rounded pixels of the input are the exception: their
errors are white, while images are not.)

What an operator without statistics reads - NonMaxSuppression, LSTM, the body of an If - counts as
an output of the network: an error there is taken relative to the power of what is read. Nobody
knows what the operator makes of it, but without that all before it would seem not to matter.
"""

from collections.abc import Container, Iterator
from itertools import repeat

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, data_inputs, ints, is_constant, weight_nodes
from spiq.passes.batchnorm import batchnorm_affine
from spiq.planning.errors.averaging import averaged
from spiq.planning.errors.output_importance import output_importance
from spiq.stats.channel import Array, ChannelStats
from spiq.stats.maps import Layout, Map
from spiq.stats.propagate import Measured
from spiq.stats.routing import mixture, route, scatter
from spiq.stats.rules import RULES
from spiq.stats.rules.activations import function_of, mean_square_slope
from spiq.stats.rules.linear import grouped, powers_over_taps, tap_shares
from spiq.stats.rules.types import beside


def importance_of(
    graph: ir.Graph, measured: Measured, likeness: float = 1.0
) -> dict[ir.Value, Array]:
    """Return the importance of every tensor with statistics, in its layout.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        likeness: How far errors are passed as the signal is (1) and not as white noise (0).
    """
    importance: dict[ir.Value, Array] = {
        value: np.zeros(known.layout) for value, known in measured.stats.items()
    }
    for value in (*graph.outputs, *_read_without_rule(graph, importance)):
        if value in importance:
            importance[value] += output_importance(value, measured)
    layers = set(weight_nodes(graph))
    for node in reversed(list(graph)):
        inputs = [value for value in data_inputs(node) if value in importance]
        if not inputs or _lacks_rule(node, importance):
            continue
        if node in layers:
            passed = _through_layer(node, inputs, importance[node.outputs[0]], measured, likeness)
        else:
            passed = _backward(node, inputs, importance, measured)
        for value, share in zip(inputs, passed, strict=True):
            importance[value] += _reduced(share, importance[value].shape)
    return importance


_MIXES = frozenset({"GridSample", "MatMul", "ReduceL2", "ReduceMax", "ReduceMin", "RoiAlign",
                    "ScatterElements", "ScatterND", "Softmax", "TopK"})  # fmt: skip
"""Operators through which errors are taken to pass as the signal does, though they have a rule."""

_SIZES = frozenset({"Shape", "Size"})
"""Operators that read no numbers."""


def _lacks_rule(node: ir.Node, known: Container[ir.Value]) -> bool:
    """Return whether something of what a node writes is read and has no statistics."""
    return any(
        value not in known and (value.uses() or value.is_graph_output()) for value in node.outputs
    ) or not any(value in known for value in node.outputs)


def _read_without_rule(graph: ir.Graph, known: Container[ir.Value]) -> Iterator[ir.Value]:
    """Yield each tensor as often as an operator without statistics reads it."""
    for node in graph:
        if node.op_type not in _SIZES and _lacks_rule(node, known):
            yield from data_inputs(node)
        for attribute in node.attributes.values():
            for body in _bodies(attribute):
                yield from (
                    value
                    for inner in body.all_nodes()
                    for value in inner.inputs
                    if value is not None and value.graph is graph
                )


def _bodies(attribute: ir.Attr) -> list[ir.Graph]:
    if attribute.type == ir.AttributeType.GRAPH:
        return [attribute.as_graph()]
    return list(attribute.as_graphs()) if attribute.type == ir.AttributeType.GRAPHS else []


def _backward(
    node: ir.Node,
    inputs: list[ir.Value],
    importance: dict[ir.Value, Array],
    measured: Measured,
) -> list[Array]:
    """Return what each data input gets from the importance of the node's outputs."""
    outputs = [importance[value] for value in node.outputs if value in importance]
    layouts = [importance[value].shape for value in inputs]
    maps = route(node, layouts)
    if maps is not None:
        parts = [
            scatter(entry, _reduced(array, entry.shape), layouts)
            for entry, array in zip(maps, outputs, strict=False)
        ]
        return [np.sum(shares, axis=0) for shares in zip(*parts, strict=True)]
    mixed = mixture(node, layouts)
    if mixed is not None:
        return [
            np.sum(shares, axis=0)
            for shares in zip(*map(_unmixed, mixed, outputs, repeat(layouts)), strict=True)
        ]
    function = function_of(node)
    if function is not None:
        return [outputs[0] * mean_square_slope(function, measured.stats[inputs[0]])]
    if node.op_type == "Mul":
        return [outputs[0] * factor for factor in _other_factors(node, inputs, measured)]
    if node.op_type == "BatchNormalization" and all(map(is_constant, node.inputs[1:5])):
        slope = batchnorm_affine(node)[0] ** 2
        return [outputs[0] * slope.reshape(1, -1, *(1,) * (outputs[0].ndim - 2))]
    if node.op_type in ("LayerNormalization", "RMSNormalization"):
        return [outputs[0] * _norm_slope(node, measured.stats[inputs[0]])]
    if node.op_type not in RULES or node.op_type in _MIXES or node.domain != "":
        return _as_the_signal(node, outputs, inputs, measured)
    return [outputs[0] / averaged(node)] * len(inputs)


def _norm_slope(node: ir.Node, x: ChannelStats) -> Array:
    """Return gamma^2 over the variance of what is normalized together."""
    gamma = constant(node.inputs[1])
    axes = tuple(range(node.attributes.get_int("axis", -1), 0)) or (-1,)
    centre = x.mean.mean(axes, keepdims=True) if node.op_type == "LayerNormalization" else 0.0
    power = (x.var + (x.mean - centre) ** 2).mean(axes, keepdims=True)
    slope = np.ones(1) if gamma is None else np.square(gamma, dtype=np.float64)
    return np.asarray(slope / (power + 1e-300))


def _as_the_signal(
    node: ir.Node, outputs: list[Array], inputs: list[ir.Value], measured: Measured
) -> list[Array]:
    """Pass errors as the signal is passed: for operators that a normalization layer stands behind.

    Its output's moments are stated, but nothing is known of the way there.
    """
    written = [value for value in node.outputs if value in measured.stats]
    after = sum(
        float((out * measured.stats[value].var).sum())
        for value, out in zip(written, outputs, strict=True)
    )
    powers = [float(measured.stats[value].var.sum()) for value in inputs]
    return [
        np.full(measured.stats[value].layout, after / power if power > 0 else 0.0)
        for value, power in zip(inputs, powers, strict=True)
    ]


def _through_layer(
    node: ir.Node, inputs: list[ir.Value], out: Array, measured: Measured, likeness: float
) -> list[Array]:
    """Return what each data input of a layer gets: what it multiplies, and what it adds."""
    return [
        through_layer(node, out, measured, likeness) if value is node.inputs[0] else out
        for value in inputs
    ]


def _unmixed(entry: Map, array: Array, layouts: list[Layout]) -> list[Array]:
    """Share importance out among the entries that each entry of an output is made of."""
    share = _reduced(array, entry.shape[1:]) / len(entry)
    return scatter(entry, np.broadcast_to(share, entry.shape), layouts)


def through_layer(node: ir.Node, out: Array, measured: Measured, likeness: float = 1.0) -> Array:
    """Return what a layer's input gets from the importance of its output, in the input's layout.

    Args:
        node: The layer.
        out: Importance of its output, in the output's layout.
        measured: Statistics of the network's tensors.
        likeness: Exponent of the amplification: 1 passes errors as the signal is passed, 0 as
            white noise.
    """
    assert node.inputs[0] is not None
    passed = _through_weight(node, out, measured.stats[node.inputs[0]].layout)
    amplified: Array = passed * _amplification(node, passed, out, measured) ** likeness
    return amplified


def _through_weight(node: ir.Node, out: Array, layout: tuple[int, ...]) -> Array:
    weight = constant(node.inputs[1])
    assert weight is not None
    split = grouped(node, weight)
    if node.op_type == "ConvTranspose":
        phases = np.prod(ints(node, "strides", [1] * (weight.ndim - 2)))
        gains = np.square(split).sum(axis=-1) / phases
    else:
        gains = powers_over_taps(split, tap_shares(node))
    outputs = gains.shape[0] * gains.shape[1]
    rows = out.reshape(-1) if out.size == outputs else np.full(outputs, out.mean())
    largest = float(rows.max(initial=0.0)) or 1.0  # so that single precision holds all that count
    shares = (rows / largest).astype(gains.dtype).reshape(len(gains), 1, -1)
    columns: Array = largest * (shares @ gains).reshape(-1).astype(np.float64)
    return columns.reshape(layout) if columns.size == np.prod(layout) else columns.sum()


def _amplification(node: ir.Node, passed: Array, out: Array, measured: Measured) -> float:
    """Return by how much a layer passes more than white noise: as much of it as of the signal."""
    source = node.inputs[0]
    assert source is not None
    if measured.stats[source].source == "input":
        return 1.0
    before = float((passed * measured.stats[source].var).sum()) if passed.ndim else 0.0
    after = float((out * measured.stats[node.outputs[0]].var).sum())
    return after / before if before > 0 and after > 0 else 1.0


def _other_factors(node: ir.Node, inputs: list[ir.Value], measured: Measured) -> list[Array]:
    factors: list[Array] = []
    for value in inputs:
        others = [other for other in node.inputs if other is not value]
        other = others[0] if others else value
        known = measured.stats.get(other) if other is not None else None
        array = constant(other)
        if known is not None:
            factors.append(known.second_moment)
        else:
            layout = measured.stats[value].layout
            factors.append(np.ones(1) if array is None else beside(array, layout).second_moment)
    return [_along(factor, measured.stats[node.outputs[0]].layout) for factor in factors]


def _along(factor: Array, layout: Layout) -> Array:
    """Return the mean over axes along which the layout of the product is merged."""
    ends = range(-min(factor.ndim, len(layout)), 0)
    axes = tuple(axis for axis in ends if layout[axis] == 1 and factor.shape[axis] > 1)
    return factor.mean(axis=axes, keepdims=True) if axes else factor


def _reduced(array: Array, layout: tuple[int, ...]) -> Array:
    """Sum over the axes along which an operand was broadcast; the mean where shapes do not fit."""
    if array.shape == layout:
        return array
    padded = (1,) * (array.ndim - len(layout)) + layout
    fits = array.ndim >= len(layout) and all(
        own in (1, size) or size == 1 for size, own in zip(array.shape, padded, strict=True)
    )
    if not fits:
        return np.full(layout, array.mean())
    axes = tuple(
        axis
        for axis, (size, own) in enumerate(zip(array.shape, padded, strict=True))
        if own == 1 and size > 1
    )
    summed = array.sum(axis=axes, keepdims=True)
    return np.broadcast_to(summed.reshape(summed.shape[array.ndim - len(layout) :]), layout)
