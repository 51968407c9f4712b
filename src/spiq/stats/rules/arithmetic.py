"""Sums, products and quotients of two tensors, or of a tensor and a constant.

Two tensors are taken as independent: Var[a + b] = Var a + Var b,
E[a b] = E[a] E[b], E[(a b)^2] = E[a^2] E[b^2]. The one product of dependent tensors that networks
are full of, x sigmoid(x), is recognised and treated as the function that it is.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, rank
from spiq.stats.channel import Array, ChannelStats, of_constant, stats
from spiq.stats.maps import crowded
from spiq.stats.rules.activations import (
    SILU_DIP,
    Function,
    apply,
    expectation,
    function_of,
    negated,
    normal_share,
)
from spiq.stats.rules.own_total import of_own_total
from spiq.stats.rules.types import Inputs, Rule, merged, operand, times

Binary = Callable[[ChannelStats, ChannelStats], ChannelStats]


def _binary(combine: Binary) -> Rule:
    def rule(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
        layout = next((known.layout for known in inputs if known is not None), ())
        if len(node.inputs) != 2:
            return None
        a, b = (operand(node, inputs, index, layout) for index in (0, 1))
        return None if a is None or b is None else [combine(*_merged(a, b))]

    return rule


def _merged(a: ChannelStats, b: ChannelStats) -> tuple[ChannelStats, ChannelStats]:
    """Merge each along the axes along which the result would have too many entries."""
    together = np.broadcast_shapes(a.layout, b.layout)
    axes = [axis - len(together) for axis in crowded(together)]

    def kept(x: ChannelStats) -> ChannelStats:
        own = [axis for axis in axes if axis >= -x.mean.ndim and x.layout[axis] > 1]
        return merged(x, tuple(own))

    return kept(a), kept(b)


def _add(a: ChannelStats, b: ChannelStats) -> ChannelStats:
    return stats(a.mean + b.mean, a.var + b.var, a.low + b.low, a.high + b.high)


def _sub(a: ChannelStats, b: ChannelStats) -> ChannelStats:
    return stats(a.mean - b.mean, a.var + b.var, a.low - b.high, a.high - b.low)


def _mul(a: ChannelStats, b: ChannelStats) -> ChannelStats:
    mean = a.mean * b.mean
    var = a.second_moment * b.second_moment - mean**2
    return stats(mean, var, *_corners(a, b.low, b.high))


def _div(a: ChannelStats, b: ChannelStats) -> ChannelStats:
    """Product with the inverse; bounds only where b keeps away from 0."""
    mean, square = _inverse(b)
    with np.errstate(divide="ignore"):
        away = (b.low > 0) | (b.high < 0)
        low, high = np.where(away, 1 / b.high, -np.inf), np.where(away, 1 / b.low, np.inf)
    centre = a.mean * mean
    return stats(centre, a.second_moment * square - centre**2, *_corners(a, low, high))


def _inverse(b: ChannelStats) -> tuple[Array, Array]:
    """Return E[1/b] and E[1/b^2]: by quadrature where b ends well before 0.

    Elsewhere it is a second-order expansion around the mean, which knows of no spread as large as
    that: 1 / (x + 0.2) of a rectified x had no variance at all by it, and 19 dB where it has 41.
    """
    centre = np.where(b.mean == 0, 1e-12, b.mean)
    spread = b.var / centre**2
    mean, square = (1 + spread) / centre, (1 + 3 * spread) / centre**2
    square = np.maximum(square, mean**2 + spread / centre**2)
    ends = np.where(b.low > 0, b.low, -b.high) > _AWAY * np.abs(b.mean)
    if not ends.any():
        return mean, square
    exact, var = expectation(np.reciprocal, b)
    return np.where(ends, exact, mean), np.where(ends, var + exact**2, square)


_AWAY = 0.05
"""Of its mean: where a divisor that ends nearer to 0 may be is known too little for its inverse."""


def divide(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Div: by its own sum or length, or by an independent tensor."""
    return of_own_total(node, inputs) or _binary(_div)(node, inputs)


def reciprocal(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Reciprocal: one over it."""
    return None if inputs[0] is None else [_div(of_constant(np.ones(inputs[0].layout)), inputs[0])]


def _corners(a: ChannelStats, low: Array, high: Array) -> tuple[Array, Array]:
    products = [times(x, y) for x in (a.low, a.high) for y in (low, high)]
    return np.minimum.reduce(products), np.maximum.reduce(products)


def gated(node: ir.Node) -> tuple[ir.Value, Function, float | None] | None:
    """Return x, f and f's dip if ``node`` multiplies x by a sigmoid of the same x."""
    if node.op_type != "Mul":
        return None
    for gate, x in (node.inputs[:2], node.inputs[1::-1]):
        producer = gate.producer() if gate is not None else None
        if producer is None or x is None or producer.op_type not in ("Sigmoid", "HardSigmoid"):
            continue
        squash = function_of(producer)
        if producer.inputs[0] is x and squash is not None:
            return x, _times_itself(squash), _gate_dip(producer)
    return None


def _times_itself(squash: Function) -> Function:
    return lambda x: x * squash(x)


def _gate_dip(gate: ir.Node) -> float:
    if gate.op_type == "Sigmoid":
        return SILU_DIP
    beta = gate.attributes.get_float("beta", 0.5)
    return -beta / (2 * gate.attributes.get_float("alpha", 0.2))


def multiply(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Mul: a gate of itself, or a product of independent tensors."""
    gate = gated(node)
    if gate is None:
        return _binary(_mul)(node, inputs)
    x, function, dip = gate
    known = inputs[list(node.inputs).index(x)]
    return None if known is None else [apply(function, known, dip)]


def _max(a: ChannelStats, b: ChannelStats) -> ChannelStats:
    """Clark's moments of the larger of two independent normal numbers (Oper. Res. 9, 1961)."""
    spread = np.sqrt(np.maximum(a.var + b.var, 1e-30))
    z = (a.mean - b.mean) / spread
    share, density = normal_share(z), np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    mean = a.mean * share + b.mean * (1 - share) + spread * density
    second = a.second_moment * share + b.second_moment * (1 - share)
    second = second + (a.mean + b.mean) * spread * density
    low, high = np.maximum(a.low, b.low), np.maximum(a.high, b.high)
    return stats(mean, second - mean**2, low, high)


def _min(a: ChannelStats, b: ChannelStats) -> ChannelStats:
    return negated(_max(negated(a), negated(b)))


def choose(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Where: each of both as often as the other, or as a constant choice has it."""
    layout = next((known.layout for known in inputs[1:] if known is not None), ())
    a, b = (operand(node, inputs, index, layout) for index in (1, 2))
    size = rank(node.outputs[0])
    if a is None or b is None or size is None:
        return None
    choice = constant(node.inputs[0])
    share = 0.5 if choice is None else float(choice.mean())
    mean = share * a.mean + (1 - share) * b.mean
    var = share * a.second_moment + (1 - share) * b.second_moment - mean**2
    shown = [one for one, part in ((a, share), (b, 1 - share)) if part > 0]
    low = np.minimum.reduce(np.broadcast_arrays(mean * 0 + np.inf, *(x.low for x in shown)))
    high = np.maximum.reduce(np.broadcast_arrays(mean * 0 - np.inf, *(x.high for x in shown)))
    layout = (1,) * (size - mean.ndim) + mean.shape
    mean, var, low, high = (np.reshape(array, layout) for array in (mean, var, low, high))
    return [stats(mean, var, low, high)]


ARITHMETIC: dict[str, Rule] = {
    "Add": _binary(_add),
    "Sub": _binary(_sub),
    "Mul": multiply,
    "Div": divide,
    "Max": _binary(_max),
    "Min": _binary(_min),
    "Reciprocal": reciprocal,
    "Where": choose,
}
