"""What the first layers say of the network's input, as equations.

Between an input x and the first layers lie operators that move its channels about or map each by
itself, so that a channel j there is a_j x_c(j) + b_j. A layer of weights W and bias B on top has

    E[y_o]   = m sum_j,k W[o,j,k] a_j + (B_o + sum_j,k W[o,j,k] b_j)  =  m sums_o + offset_o
    Var[y_o] = s^2 w_o^T R w_o,   w_o = W[o] a                        =  s^2 response_o^2

for an input of mean m and deviation s in all channels; R are the correlations of natural images,
0.95 from pixel to pixel and 0.9 from colour to colour. Where a BatchNormalization states the
moments of y_o, these are equations for m and s. One that reads x, or a x + b, is a layer too.

What is followed, see :mod:`spiq.stats.inputs.views`; what becomes of inputs that are joined,
:mod:`spiq.stats.inputs.joined`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.graph.query import dims, ints, weight_nodes
from spiq.passes.batchnorm import Moments
from spiq.passes.cleanup import kernel_shape
from spiq.passes.layer_weights import weight_and_bias
from spiq.passes.prepare import Prepared
from spiq.stats.channel import Array
from spiq.stats.inputs.joined import joined_views, without_strangers
from spiq.stats.inputs.views import View, mixed, through
from spiq.stats.lost_norms import normalized_behind
from spiq.stats.rules.linear import grouped

NEIGHBOURS, COLOURS = 0.95, 0.9
CORRELATED = (0.0, 0.5, 0.8, 0.95, 0.99)
"""Correlations of neighbours that are thought of in what is no picture."""

_TOLD_APART = 512
"""Channels of an input of which each may be told; more are taken together."""


@dataclass(frozen=True)
class FirstLayer:
    """Equations of one layer's outputs, arrays of shape (O,).

    Attributes:
        sums: What the mean of the input is multiplied by.
        sizes: The same of the weights' absolute values.
        response: Deviation of the outputs for a picture of deviation 1.
        by_channel: What the mean of each channel of the input is multiplied by, shape (O, C), with
            those of inputs that it is joined with behind; of no columns where there are more
            channels than outputs, which then do not tell.
        powers: Variance of the outputs for each channel of the input alone, of deviation 1, whose
            neighbours are correlated by each of ``CORRELATED``, shape (correlations, O, C); or
            for all channels together, shape (correlations, O, 1).
        offset: Mean of the outputs for a picture of mean 0.
        biased: Whether the layer has biases of its own, whose size is that of its outputs.
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


def first_layers(
    value: ir.Value, prepared: Prepared, axis: int = 1, *, pictures: bool = False
) -> list[FirstLayer]:
    """Return the equations that a network's first layers state of ``value``, an input.

    Args:
        value: The input.
        prepared: The network.
        axis: Where its channels are.
        pictures: Whether it holds pictures, beside which only such of its shape count.
    """
    shape = dims(value)
    if shape is None or len(shape) < 2:
        return []
    views, own = joined_views(value, prepared.model.graph, axis), {value}
    channels = sum(view.c.size for view in views.values())
    if pictures:
        views = without_strangers(views, value)
    layers, found = set(weight_nodes(prepared.model.graph)), list[FirstLayer]()
    mixers, is_read = list[FirstLayer](), False
    found += _stated_of_view(value, views[value], channels, prepared)
    for node in prepared.model.graph:
        view = views.get(node.inputs[0]) if node.inputs and node.inputs[0] is not None else None
        if own.isdisjoint(node.inputs):
            for result, moved in through(node, views, channels).items():
                views[result] = moved  # of a companion, before the two meet
        elif node in layers and view is not None:
            equations = _layer(node, view, channels, prepared)
            mix = mixed(node, view, channels, prepared)
            if mix is None:
                found += equations
                is_read |= view.mix is not None and bool(equations)
            else:
                views[node.outputs[0]] = mix
                own.add(node.outputs[0])
                mixers += equations
        elif node not in layers:
            for result, moved in through(node, views, channels).items():
                views[result] = moved
                own.add(result)
                found += _stated_of_view(result, moved, channels, prepared)
    return found if is_read else mixers + found


def _stated_of_view(
    value: ir.Value, view: View, channels: int, prepared: Prepared
) -> Iterator[FirstLayer]:
    """Yield the equations of a BatchNormalization on a x + b, which is a layer, too."""
    stated = prepared.stated.get(str(value.name))
    a, b, c = (part.reshape(-1) for part in (view.a, view.b, view.c))
    if view.mix is None and stated is not None and len(stated.mean) % len(a) == 0:
        a, b, c = (np.resize(part, len(stated.mean)) for part in (a, b, c))
        size, told = np.abs(a), channels <= min(len(a), _TOLD_APART)
        reads = a[:, None] * np.equal.outer(c, np.arange(channels)) if told else a[:, None]
        powers = np.broadcast_to(reads**2, (len(CORRELATED), *reads.shape))
        yield FirstLayer(a, size, size, reads[:, : told * channels], powers, b, False, stated)


def _layer(node: ir.Node, view: View, channels: int, prepared: Prepared) -> list[FirstLayer]:
    """Return the equations of a layer on a x + b; none where positions differ."""
    weight, bias = weight_and_bias(node)
    split = grouped(node, weight).astype(np.float64)
    groups, outputs, inputs, _ = split.shape
    if any(size > 1 for axis, size in enumerate(view.a.shape) if axis != 1):
        return []
    if view.a.size not in (1, groups * inputs) or (view.mix is not None and groups > 1):
        return []
    a, b, c = (
        np.broadcast_to(part.reshape(-1), groups * inputs).reshape(groups, 1, inputs, 1)
        for part in (view.a, view.b, view.c)
    )
    scaled, count = split * a, groups * outputs
    if view.mix is not None:  # then it reads all channels of the input
        scaled = np.einsum("gojk,jc->gock", scaled, view.mix[c.reshape(-1).astype(int)])
        c = np.arange(channels, dtype=float).reshape(1, 1, -1, 1)
    told = channels <= min(count, _TOLD_APART)
    numbers = (c[..., 0], channels) if told else (np.zeros_like(c[..., 0]), 1)
    stated = prepared.stated.get(str(node.outputs[0].name))
    return [
        FirstLayer(
            scaled.sum(axis=(2, 3)).reshape(-1),
            np.abs(scaled).sum(axis=(2, 3)).reshape(-1),
            np.sqrt(np.maximum(_power(node, scaled), 0)).reshape(count),
            _added_up(scaled.sum(axis=3), *numbers)[:, : told * channels],
            np.array([_each_power(node, scaled, near, *numbers) for near in CORRELATED]),
            bias + (split * b).sum(axis=(2, 3)).reshape(-1),
            biased=bool(np.any(bias)) and stated is None and not normalized_behind(node),
            stated=stated,
            steps=view.steps,
        )
    ]


def _each_power(node: ir.Node, scaled: Array, near: float, numbers: Array, channels: int) -> Array:
    """Return the variance of each output for each channel alone, neighbours correlated so."""
    return _added_up((scaled @ _taps(node, near) * scaled).sum(axis=3), numbers, channels)


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
