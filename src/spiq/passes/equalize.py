"""Equalize the ranges of weights across layers, and move high biases on.

Nagel, van Baalen, Blankevoort, Welling: "Data-Free Quantization Through Weight Equalization and
Bias Correction", ICCV 2019, arXiv 1906.04721, sections 4.1 and 4.2.

*Equalization.* Two layers that an activation with f(s x) = s f(x) joins, or nothing, stay the same
function under

    W2 f(W1 x + b1) = (W2 S) f(S^-1 W1 x + S^-1 b1),    S = diag(s), s > 0.

With r1 the largest weight of each row of W1, and r2 that of each column of W2,
s = sqrt(r1 r2) / r2 gives both the range sqrt(r1 r2). Pairs that overlap (a convolution, a
depthwise one, a convolution) take turns until nothing moves any more; three ranges of a channel
then are the cube root of their product.

*ReLU6* is not homogeneous. The paper makes it a ReLU first, as AIMET does; networks that live off
the bound do not survive that (MobileNetV1 0.25: 10.7 % of 300 images right instead of 58.0 %, in
float). Here the bound stays, and only channels that almost never reach it are scaled, only so far
that they still do not: with u = beta + 6 gamma, where the paper lets ranges end, those of u <= 6,
and s >= u / 6.

*Limits.* A channel of hardly any weight would be scaled up until its bias is the range of all
channels (MobileNetV1 0.25 for persons: -0.3 dB). So no channel is scaled beyond the widest of its
tensor: s >= u / max u. The paper has no such limit.

*Absorption.* Where a ReLU joins the pair, x ~ N(beta, gamma^2) in front of it is almost nowhere
below c = max(0, beta - 3 gamma), so there f(x) = f(x - c) + c (with ReLU6 too, if u <= 6):

    W2 f(W1 x + b1) + b2 = W2 f(W1 x + b1 - c) + (b2 + W2 c).

With zero padding c would be missing along the border. The paper does not speak of that; here
convolutions that pad absorb nothing.

What is stated of the tensors in between is transformed along.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from spiq.graph.query import Array, constant, ints, is_constant, rank, sole_consumer
from spiq.passes.batchnorm import Moments
from spiq.passes.layer_weights import (
    rows_shape,
    scale_columns,
    set_weight_and_bias,
    weight_and_bias,
)
from spiq.passes.prepare import Prepared

_SWEEPS = 100
_SETTLED = 1e-3
"""Change of a factor that counts as none."""

_FURTHEST = 1e3
"""Where factors end."""

_TINY = 1e-30

_LOW, _HIGH = 3.0, 6.0
"""How far below and above its mean a channel is taken to end, in deviations."""


@dataclass(frozen=True)
class Pair:
    """Two layers whose weights can be scaled against each other.

    Attributes:
        first, second: The layers.
        between: The activation that joins them, if any.
    """

    first: ir.Node
    second: ir.Node
    between: ir.Node | None

    @property
    def values(self) -> list[ir.Value]:
        """The tensors between the layers."""
        ends = [node for node in (self.first, self.between) if node is not None]
        return [node.outputs[0] for node in ends]


def equalize(prepared: Prepared) -> Prepared:
    """Equalize a network and absorb high biases, in place.

    Returns:
        The network with the moments that its tensors have now.
    """
    pairs = find_pairs(prepared.model.graph)
    for pair, factor in zip(pairs, factors(pairs, prepared.stated), strict=True):
        _scale(pair, factor)
        prepared = _through(prepared, pair, 1 / factor, np.zeros_like(factor))
    for pair in pairs:
        stated = prepared.stated.get(str(pair.first.outputs[0].name))
        if stated is not None and _absorbs(pair):
            low = stated.mean - _LOW * np.sqrt(stated.var)
            moved = np.where(_highest(stated) <= _bound(pair), np.maximum(low, 0), 0)
            _absorb(pair, moved)
            prepared = _through(prepared, pair, np.ones_like(moved), -moved)
    return prepared


def find_pairs(graph: ir.Graph) -> list[Pair]:
    """Return the pairs of a prepared network, in order."""
    pairs = []
    for node in graph:
        between, after = None, sole_consumer(node.outputs[0]) if _is_layer(node) else None
        if after is not None and _is_homogeneous(after):
            between, after = after, sole_consumer(after.outputs[0])
        source = (node if between is None else between).outputs[0]
        if after is not None and _is_layer(after) and after.inputs[0] is source:
            pairs.append(Pair(node, after, between))
    return pairs


def _is_layer(node: ir.Node) -> bool:
    if node.domain != "" or node.op_type not in ("Conv", "Gemm") or len(node.inputs) < 2:
        return False
    weight, bias = constant(node.inputs[1]), node.inputs[2] if len(node.inputs) > 2 else None
    if weight is None or weight.dtype != np.float32:
        return False
    if bias is not None and not (is_constant(bias) and rank(bias) == 1):
        return False
    plain = all(node.attributes.get_float(name, 1.0) == 1 for name in ("alpha", "beta"))
    return node.op_type == "Conv" or (plain and node.attributes.get_int("transB", 0) == 1)


def _is_homogeneous(node: ir.Node) -> bool:
    """Return whether an activation is homogeneous, but for an upper bound."""
    if node.domain != "":
        return False
    if node.op_type == "PRelu":
        return is_constant(node.inputs[1])
    if node.op_type == "Clip":
        low = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        return low is not None and low.size == 1 and float(low.reshape(())) == 0
    return node.op_type in ("Relu", "LeakyRelu")


def _bound(pair: Pair) -> float:
    """Return where the activation between a pair ends."""
    node = pair.between
    if node is None or node.op_type != "Clip" or len(node.inputs) < 3 or node.inputs[2] is None:
        return np.inf
    high = constant(node.inputs[2])
    return float(high.reshape(())) if high is not None else 0.0


def _highest(stated: Moments) -> Array:
    return stated.mean + _HIGH * np.sqrt(stated.var)


def _limits(pair: Pair, stated: Moments | None, channels: int) -> tuple[Array, Array]:
    """Return the least and the greatest factor that each channel may have."""
    bound, one = _bound(pair), np.ones(channels)
    if stated is None:
        return (one, one) if bound < np.inf else (one / _FURTHEST, one * _FURTHEST)
    high = _highest(stated)
    widest = min(float(high.max()), bound)
    least = np.clip(high / max(widest, _TINY), 1 / _FURTHEST, 1)
    within = high <= bound
    return np.where(within, least, 1), np.where(within, _FURTHEST, 1)


def factors(pairs: Sequence[Pair], stated: Mapping[str, Moments]) -> list[Array]:
    """Return s of each pair, one number per channel between its layers.

    Args:
        pairs: The pairs.
        stated: Moments of the tensors between them, by name.
    """
    layers = {node: _magnitudes(node) for pair in pairs for node in (pair.first, pair.second)}
    found = [np.ones(len(layers[pair.first])) for pair in pairs]
    limits = [
        _limits(pair, stated.get(str(pair.first.outputs[0].name)), len(total))
        for pair, total in zip(pairs, found, strict=True)
    ]
    for _ in range(_SWEEPS):
        moved = 0.0
        for pair, total, (least, most) in zip(pairs, found, limits, strict=True):
            first, second = rows(layers[pair.first]), columns(pair.second, layers[pair.second])
            used = (first > 0) & (second > 0)
            wanted = total * np.sqrt(np.divide(first, second, out=np.ones_like(first), where=used))
            step = np.clip(wanted, least, most) / total
            total *= step
            layers[pair.first] = layers[pair.first] / step[:, None]
            layers[pair.second] = scale_columns(pair.second, layers[pair.second], step)
            moved = max(moved, float(np.abs(np.log(step)).max(initial=0)))
        if moved < _SETTLED:
            break
    return found


def _magnitudes(node: ir.Node) -> Array:
    """Return the largest |weight| of each kernel, shape (O, C/g)."""
    weight, _ = weight_and_bias(node)
    kernels = np.abs(weight.reshape(*weight.shape[:2], -1))
    return np.asarray(kernels.max(axis=2), np.float64)


def rows(magnitudes: Array) -> Array:
    """Return the range of each output channel, shape (O,)."""
    return np.asarray(magnitudes.max(axis=1))


def columns(node: ir.Node, magnitudes: Array) -> Array:
    """Return the range of each input channel, shape (C,)."""
    groups = node.attributes.get_int("group", 1)
    return np.asarray(magnitudes.reshape(groups, -1, magnitudes.shape[1]).max(axis=1).reshape(-1))


def _scale(pair: Pair, factor: Array) -> None:
    weight, bias = weight_and_bias(pair.first)
    divisor = factor.reshape(rows_shape(pair.first, weight.shape)).astype(weight.dtype)
    set_weight_and_bias(pair.first, weight / divisor, bias / factor)
    weight, bias = weight_and_bias(pair.second)
    set_weight_and_bias(pair.second, scale_columns(pair.second, weight, factor), bias)


def _absorbs(pair: Pair) -> bool:
    if pair.between is None or pair.between.op_type not in ("Relu", "Clip"):
        return False
    pads = any(ints(pair.second, "pads", [0]))
    return not pads and pair.second.attributes.get_string("auto_pad", "NOTSET") in (
        "NOTSET", "VALID",
    )  # fmt: skip


def _absorb(pair: Pair, high: Array) -> None:
    weight, bias = weight_and_bias(pair.first)
    set_weight_and_bias(pair.first, weight, bias - high)
    weight, bias = weight_and_bias(pair.second)
    moved = scale_columns(pair.second, weight.astype(np.float64), high)
    set_weight_and_bias(pair.second, weight, bias + moved.reshape(len(moved), -1).sum(axis=1))


def _through(prepared: Prepared, pair: Pair, a: Array, b: Array) -> Prepared:
    """Return what is stated once the tensors between a pair have become ``a x + b``."""
    names = {value.name for value in pair.values}
    return replace(
        prepared,
        stated=_changed(prepared.stated, names, lambda moments: moments.through(a, b)),
        norms=tuple(
            norm.then(a, b) if norm.value in pair.values else norm for norm in prepared.norms
        ),
    )


def _changed(
    stated: Mapping[str, Moments], names: set[str | None], change: Callable[[Moments], Moments]
) -> MappingProxyType[str, Moments]:
    return MappingProxyType(
        {name: change(found) if name in names else found for name, found in stated.items()}
    )
