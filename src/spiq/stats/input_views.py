"""What lies between a network's input and its first layers: tensors that still are a x_c + b.

Affine steps by constants, Cast, what moves data, and pools and Resize, which leave the mean of a
smooth picture and nearly its deviation. A 1x1 convolution that a layer reads with no activation
between (a matrix of colours, YUV to RGB) mixes: x'_j = sum_c M_jc x_c + b_j.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, is_constant
from spiq.passes.batchnorm import batchnorm_affine
from spiq.passes.cleanup import kernel_shape
from spiq.passes.layer_weights import weight_and_bias
from spiq.passes.prepare import Prepared
from spiq.stats.channel import Array
from spiq.stats.movers import MOVERS
from spiq.stats.routing import gather, route

_ALIKE = frozenset({"AveragePool", "Cast", "Identity", "MaxPool", "Resize", "Upsample"})


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


def through(node: ir.Node, views: Mapping[ir.Value, View]) -> dict[ir.Value, View]:
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
    """Return what a 1x1 convolution of an input makes, if no normalization says what it is."""
    if node.op_type != "Conv" or prod(kernel_shape(node)) > 1 or view.mix is not None:
        return None
    weight, bias = weight_and_bias(node)
    told = prepared.stated.get(str(node.outputs[0].name)) is not None
    if told or weight.shape[1] != view.a.size or view.a.shape[1] != view.a.size:
        return None
    matrix = weight.reshape(len(weight), -1).astype(np.float64)
    a, b, c = (part.reshape(-1) for part in (view.a, view.b, view.c))
    mix = (matrix * a) @ np.equal.outer(c, np.arange(channels)).astype(float)
    layout = [len(mix) if axis == 1 else 1 for axis in range(view.a.ndim)]
    numbers = np.arange(len(mix), dtype=float).reshape(layout)
    return View(np.ones(layout), (matrix @ b + bias).reshape(layout), numbers, mix)
