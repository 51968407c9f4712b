"""What lies between a network's input and its first layers: tensors that still are a x_c + b.

Affine steps by constants, Cast, what moves data, bounds, which hardly cut pictures, and pools and
Resize, which leave the mean of a smooth picture and nearly its deviation. A 1x1 convolution that a
layer reads with no activation between mixes, x'_j = sum_c M_jc x_c + b_j (a matrix of colours, YUV
to RGB), and so does a matrix along the last axis, or the mean of the colours.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, is_constant
from spiq.passes.batchnorm import batchnorm_affine
from spiq.passes.layer_weights import weight_and_bias
from spiq.passes.prepare import Prepared
from spiq.stats.channel import Array
from spiq.stats.movers import MOVERS
from spiq.stats.routing import gather, route
from spiq.stats.rules.linear import grouped

_ALIKE = frozenset({"AveragePool", "Cast", "Clip", "Identity", "MaxPool", "Resize", "Upsample"})


@dataclass(frozen=True)
class View:
    """A tensor a x_c + b, all three in the tensor's layout.

    Attributes:
        a, b, c: As said.
        mix: M, shape (mixed, C), where x_c is mixed from the input's channels; else None.
    """

    a: Array
    b: Array
    c: Array
    mix: Array | None = None

    @property
    def steps(self) -> tuple[Array, Array]:
        """A and b, one number per channel or one for all; of an input of even colours if mixed."""
        a, b, c = (part.reshape(-1) for part in (self.a, self.b, self.c))
        return (a, b) if self.mix is None else (a * self.mix.sum(axis=1)[c.astype(int)], b)


def through(node: ir.Node, views: Mapping[ir.Value, View], channels: int) -> dict[ir.Value, View]:
    """Return the outputs of a node that still are a x + b, of an input of so many channels.

    Args:
        node: The operator.
        views: Tensors that are a x + b, so far.
        channels: Of the input.
    """
    sources = [value for value in node.inputs if value is not None and not is_constant(value)]
    known = [views[value] for value in sources if value in views]
    if node.domain != "" or not known or len(known) < len(sources):
        return {}
    if node.op_type in _ALIKE or (node.op_type == "Pad" and _in_space(node)):
        return {node.outputs[0]: known[0]}
    if node.op_type in MOVERS:
        return _moved(node, known)
    step = _affine(node, known[0]) if len(known) == 1 else None
    if node.op_type == "ReduceMean" and known[0].mix is None:
        step = _averaged(node, known[0], channels)
    return {} if step is None else {node.outputs[0]: step}


def _in_space(node: ir.Node) -> bool:
    pads = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    half = 0 if pads is None else len(pads) // 2
    return pads is not None and not pads[:2].any() and not pads[half : half + 2].any()


def _moved(node: ir.Node, known: list[View]) -> dict[ir.Value, View]:
    maps = route(node, [view.a.shape for view in known])
    if maps is None:
        return {}
    mix = known[0].mix
    if any(view.mix is not mix for view in known):
        return {}
    parts = [[getattr(view, name) for view in known] for name in "abc"]
    moved = []
    for entry in maps:
        a, b, c = (gather(entry, part) for part in parts)
        moved.append(View(a, b, c, mix))
    return dict(zip(node.outputs, moved, strict=False))


def _affine(node: ir.Node, view: View) -> View | None:
    """Return what a step by a constant, or a BatchNormalization, makes of a x + b."""
    if node.op_type == "BatchNormalization" and all(map(is_constant, node.inputs[1:5])):
        layout = (1, -1) + (1,) * (view.a.ndim - 2)
        factor, shift = (array.reshape(layout) for array in batchnorm_affine(node))
        return _view(factor * view.a, factor * view.b + shift, view)
    if node.op_type == "Neg":
        return _view(-view.a, -view.b, view)
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
        return _view(turned * view.a + 0 * other, turned * view.b + added, view)
    if node.op_type == "Div" and not other.all():
        return None
    factor = other if node.op_type == "Mul" else 1 / other
    return _view(factor * view.a, factor * view.b, view)


def _view(a: Array, b: Array, of: View) -> View:
    return View(a, b, np.broadcast_to(of.c, a.shape), of.mix)


def _in_layout(array: np.ndarray, rank: int, layout: tuple[int, ...]) -> Array | None:
    """Return a constant operand with one number per channel: a mean picture becomes its mean."""
    if array.ndim > rank or array.dtype.kind not in "fiu":
        return None
    aligned = np.asarray(array, np.float64).reshape((1,) * (rank - array.ndim) + array.shape)
    spread = tuple(axis for axis, size in enumerate(layout) if size == 1 and axis != 1)
    averaged: Array = aligned.mean(axis=spread, keepdims=True)
    return averaged if np.isfinite(averaged).all() else None


def mixed(node: ir.Node, view: View, channels: int, prepared: Prepared) -> View | None:
    """Return what a layer mixes an input's channels to, if no normalization says what it is.

    Args:
        node: The layer.
        view: What it reads.
        channels: Of the input.
        prepared: The network.

    Returns:
        None where the layer does more than to mix, or its outputs are stated.
    """
    told = prepared.stated.get(str(node.outputs[0].name)) is not None
    if told or view.mix is not None:
        return None
    weight, bias = weight_and_bias(node)
    split, axis = grouped(node, weight), view.a.ndim - 1 if node.op_type == "MatMul" else 1
    groups, _, inputs, taps = split.shape
    if groups > 1 or taps > 1 or not inputs == view.a.size == view.a.shape[axis]:
        return None
    return _mixed(split[0, :, :, 0].astype(np.float64), bias, view, axis, channels)


def _averaged(node: ir.Node, view: View, channels: int) -> View | None:
    """Return the mean of an input's channels."""
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else node.attributes.get_ints("axes")
    axis = int(np.argmax(view.a.shape))
    kept = node.attributes.get_int("keepdims", 1)
    if axes is None or [int(one) % view.a.ndim for one in axes] != [axis] or not kept:
        return None
    alike = np.full((1, view.a.size), 1 / view.a.size)
    return _mixed(alike, np.zeros(1), view, axis, channels)


def _mixed(matrix: Array, bias: Array, view: View, axis: int, channels: int) -> View:
    a, b, c = (part.reshape(-1) for part in (view.a, view.b, view.c))
    mix = (matrix * a) @ np.equal.outer(c, np.arange(channels)).astype(float)
    layout = [len(mix) if place == axis else 1 for place in range(view.a.ndim)]
    numbers = np.arange(len(mix), dtype=float).reshape(layout)
    return View(np.ones(layout), (matrix @ b + bias).reshape(layout), numbers, mix)
