"""What the first layers say of the network's input, as equations.

Between an input x and the first layers lie operators that move its channels about or map each by
itself, so that a channel j there is a_j x_c(j) + b_j. A layer of weights W and bias B on top has

    E[y_o]   = m sum_j,k W[o,j,k] a_j + (B_o + sum_j,k W[o,j,k] b_j)  =  m sums_o + offset_o
    Var[y_o] = s^2 w_o^T R w_o,   w_o = W[o] a                        =  s^2 response_o^2

for an input of mean m and deviation s in all channels; R are the correlations of natural images,
0.95 from pixel to pixel and 0.9 from colour to colour. Where a BatchNormalization states the
moments of y_o, these are equations for m and s. One that reads x, or a x + b, is a layer too.

Followed are affine steps by constants, Cast, what moves data, and pools and Resize, which leave the
mean of a smooth picture and nearly its deviation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, dims, ints, is_constant, weight_nodes
from spiq.passes.batchnorm import Moments, batchnorm_affine
from spiq.passes.cleanup import kernel_shape
from spiq.passes.layer_weights import weight_and_bias
from spiq.passes.prepare import Prepared
from spiq.stats.channel import Array
from spiq.stats.movers import MOVERS
from spiq.stats.routing import gather, route
from spiq.stats.rules.linear import grouped

NEIGHBOURS, COLOURS = 0.95, 0.9
CORRELATED = (0.0, 0.5, 0.8, 0.95, 0.99)
"""Correlations of neighbours that are thought of in what is no picture."""

_TOLD_APART = 512
"""Channels of an input of which each may be told; more are taken together."""

_ALIKE = frozenset({"AveragePool", "Cast", "Identity", "MaxPool", "Resize", "Upsample"})


@dataclass(frozen=True)
class FirstLayer:
    """Equations of one layer's outputs, arrays of shape (O,).

    Attributes:
        sums: What the mean of the input is multiplied by.
        sizes: The same of the weights' absolute values.
        response: Deviation of the outputs for a picture of deviation 1.
        by_channel: What the mean of each channel of the input is multiplied by, shape (O, C); of
            no columns where there are more channels than outputs, which then do not tell.
        powers: Variance of the outputs for each channel of the input alone, of deviation 1, whose
            neighbours are correlated by each of ``CORRELATED``, shape (correlations, O, C); or
            for all channels together, shape (correlations, O, 1).
        offset: Mean of the outputs for a picture of mean 0.
        biased: Whether the layer has biases of its own.
        stated: What a normalization layer states of the outputs.
        steps: a and b of what lies in front of the layer, one number per channel or one for all.
    """

    sums: Array
    sizes: Array
    response: Array
    by_channel: Array
    powers: Array
    offset: Array
    biased: bool
    stated: Moments | None
    steps: tuple[Array, Array] = (np.ones(1), np.zeros(1))


@dataclass(frozen=True)
class _View:
    """A tensor a x_c + b, all three in the tensor's layout."""

    a: Array
    b: Array
    c: Array


def first_layers(value: ir.Value, prepared: Prepared, axis: int = 1) -> list[FirstLayer]:
    """Return the equations that a network's first layers state of ``value``, an input.

    Args:
        value: The input.
        prepared: The network.
        axis: Where its channels are.
    """
    shape = dims(value)
    if shape is None or len(shape) < 2:
        return []
    layout = [size or 1 if index == axis else 1 for index, size in enumerate(shape)]
    numbers = np.arange(layout[axis], dtype=float).reshape(layout)
    views = {value: _View(np.ones(layout), np.zeros(layout), numbers)}
    layers, found = set(weight_nodes(prepared.model.graph)), list[FirstLayer]()
    found += _stated_of_view(value, views[value], layout[axis], prepared)
    for node in prepared.model.graph:
        source = node.inputs[0] if node.inputs else None
        if node in layers:
            if source in views:
                found += _layer(node, views[source], layout[axis], prepared)
            continue
        for result, view in _through(node, views).items():
            views[result] = view
            found += _stated_of_view(result, view, layout[axis], prepared)
    return found


def _stated_of_view(
    value: ir.Value, view: _View, channels: int, prepared: Prepared
) -> Iterator[FirstLayer]:
    stated = prepared.stated.get(str(value.name))
    a, b, c = (part.reshape(-1) for part in (view.a, view.b, view.c))
    if stated is not None and len(stated.mean) % len(a) == 0:
        a, b, c = (np.resize(part, len(stated.mean)) for part in (a, b, c))
        size, told = np.abs(a), channels <= min(len(a), _TOLD_APART)
        reads = a[:, None] * np.equal.outer(c, np.arange(channels)) if told else a[:, None]
        powers = np.broadcast_to(reads**2, (len(CORRELATED), *reads.shape))
        yield FirstLayer(a, size, size, reads[:, : told * channels], powers, b, False, stated)


def _through(node: ir.Node, views: Mapping[ir.Value, _View]) -> dict[ir.Value, _View]:
    """Return the outputs of a node that still are a x + b."""
    sources = [value for value in node.inputs if value is not None and not is_constant(value)]
    known = [views[value] for value in sources if value in views]
    if node.domain != "" or not known or len(known) < len(sources):
        return {}
    if node.op_type in _ALIKE or (node.op_type == "Pad" and _in_space(node)):
        return {node.outputs[0]: known[0]}
    if node.op_type in MOVERS:
        return _moved(node, known)
    step = _affine(node, known[0]) if len(known) == 1 else None
    return {} if step is None else {node.outputs[0]: step}


def _in_space(node: ir.Node) -> bool:
    pads = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    half = 0 if pads is None else len(pads) // 2
    return pads is not None and not pads[:2].any() and not pads[half : half + 2].any()


def _moved(node: ir.Node, known: list[_View]) -> dict[ir.Value, _View]:
    maps = route(node, [view.a.shape for view in known])
    if maps is None:
        return {}
    parts = [[getattr(view, name) for view in known] for name in "abc"]
    moved = [_View(*(gather(entry, part) for part in parts)) for entry in maps]
    return dict(zip(node.outputs, moved, strict=False))


def _affine(node: ir.Node, view: _View) -> _View | None:
    """Return what a step by a constant, or a BatchNormalization, makes of a x + b."""
    if node.op_type == "BatchNormalization" and all(map(is_constant, node.inputs[1:5])):
        layout = (1, -1) + (1,) * (view.a.ndim - 2)
        factor, shift = (array.reshape(layout) for array in batchnorm_affine(node))
        return _view(factor * view.a, factor * view.b + shift, view.c)
    if node.op_type == "Neg":
        return _view(-view.a, -view.b, view.c)
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    first = is_constant(node.inputs[0])
    array = constant(node.inputs[0] if first else node.inputs[1])
    other = None if array is None else _in_layout(array, view.a.ndim, view.a.shape)
    if other is None or (first and node.op_type == "Div"):
        return None
    if node.op_type in ("Add", "Sub"):
        sign = -1 if node.op_type == "Sub" else 1
        turned = -1 if first and sign < 0 else 1
        added = other if first else sign * other
        return _view(turned * view.a + 0 * other, turned * view.b + added, view.c)
    if node.op_type == "Div" and not other.all():
        return None
    factor = other if node.op_type == "Mul" else 1 / other
    return _view(factor * view.a, factor * view.b, view.c)


def _view(a: Array, b: Array, c: Array) -> _View:
    return _View(a, b, np.broadcast_to(c, a.shape))


def _in_layout(array: np.ndarray, rank: int, layout: tuple[int, ...]) -> Array | None:
    """Return a constant operand with one number per channel: a mean picture becomes its mean."""
    if array.ndim > rank or array.dtype.kind not in "fiu":
        return None
    aligned = np.asarray(array, np.float64).reshape((1,) * (rank - array.ndim) + array.shape)
    spread = tuple(axis for axis, size in enumerate(layout) if size == 1 and axis != 1)
    averaged: Array = aligned.mean(axis=spread, keepdims=True)
    return averaged if np.isfinite(averaged).all() else None


def _layer(node: ir.Node, view: _View, channels: int, prepared: Prepared) -> list[FirstLayer]:
    """Return the equations of a layer on a x + b; none where positions differ."""
    weight, bias = weight_and_bias(node)
    split = grouped(node, weight).astype(np.float64)
    groups, outputs, inputs, _ = split.shape
    if any(size > 1 for axis, size in enumerate(view.a.shape) if axis != 1):
        return []
    if view.a.size not in (1, groups * inputs):
        return []
    a, b, c = (
        np.broadcast_to(part.reshape(-1), groups * inputs).reshape(groups, 1, inputs, 1)
        for part in (view.a, view.b, view.c)
    )
    scaled, count = split * a, groups * outputs
    told = channels <= min(count, _TOLD_APART)
    numbers = (c[..., 0], channels) if told else (np.zeros_like(c[..., 0]), 1)
    powers = np.array(
        [
            _added_up((scaled @ _taps(node, near) * scaled).sum(axis=3), *numbers)
            for near in CORRELATED
        ]
    )
    own = bool(np.any(bias)) and prepared.stated.get(str(node.outputs[0].name)) is None
    return [
        FirstLayer(
            scaled.sum(axis=(2, 3)).reshape(-1),
            np.abs(scaled).sum(axis=(2, 3)).reshape(-1),
            np.sqrt(np.maximum(_power(node, scaled), 0)).reshape(count),
            _added_up(scaled.sum(axis=3), *numbers)[:, : told * channels],
            powers,
            bias + (split * b).sum(axis=(2, 3)).reshape(-1),
            biased=own,
            stated=prepared.stated.get(str(node.outputs[0].name)),
            steps=(view.a.reshape(-1), view.b.reshape(-1)),
        )
    ]


def _added_up(reads: Array, numbers: Array, channels: int) -> Array:
    """Return (g, O/g, C/g) numbers as (O, channels): those of the same channel are added up."""
    is_one: Array = np.equal(numbers[:, 0, :, None], np.arange(channels)).astype(float)
    return np.asarray((reads @ is_one).reshape(-1, channels))


def _taps(node: ir.Node, neighbours: float) -> Array:
    """Return the correlations of a kernel's taps with each other, shape (K, K)."""
    kernel = kernel_shape(node) if node.op_type in ("Conv", "ConvTranspose") else [1]
    spacing = ints(node, "dilations", [1] * len(kernel))
    taps: Array = np.ones((1, 1))
    for size, step in zip(kernel, spacing, strict=True):
        away = step * np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
        taps = np.asarray(np.kron(taps, neighbours**away), np.float64)
    return taps


def _power(node: ir.Node, split: Array) -> Array:
    """Return w^T R w of kernels (g, O/g, C/g, K), for a picture of variance 1.

    With colours correlated by c, R is c (1 1^T) x T + (1 - c) I x T, T between the taps.
    """
    taps = _taps(node, NEIGHBOURS)
    alone = ((split @ taps) * split).sum(axis=(2, 3))
    summed = split.sum(axis=2)
    together = ((summed @ taps) * summed).sum(axis=2)
    power: Array = (1 - COLOURS) * alone + COLOURS * together
    return power
