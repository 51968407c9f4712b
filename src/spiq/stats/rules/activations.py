"""Functions of one number: moments by quadrature, bounds from the ends.

The input of an activation is taken to be normal (what a BatchNormalization strives for and what
sums of many terms tend to), cut to its hard bounds. Moments of f(x) are integrals over the normal
density, by the trapezoidal rule on a fixed grid: its error is under 1e-3 standard deviations even
at the kink of a ReLU.
"""

from collections.abc import Callable
from math import erf, sqrt

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, dims, is_constant, rank
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.rules.types import Inputs, Rule

Function = Callable[[Array], Array]
"""Takes x of shape layout + (k,); parameters of the operator are bound inside."""

_Z = np.linspace(-8, 8, 257)
_WEIGHTS = np.exp(-(_Z**2) / 2)
_WEIGHTS /= _WEIGHTS.sum()


def expectation(function: Function, x: ChannelStats) -> tuple[Array, Array]:
    """Return mean and variance of ``function`` of each channel, shape of the layout."""
    points = x.mean[..., None] + x.std[..., None] * _Z
    np.clip(points, x.low[..., None], x.high[..., None], out=points)
    values = function(points)
    del points  # the largest arrays there are: one less at a time
    mean = values @ _WEIGHTS
    values = values - mean[..., None]
    var = np.square(values, out=values) @ _WEIGHTS
    return mean, var


def mean_square_slope(function: Function, x: ChannelStats) -> Array:
    """Return E[f'(x)^2] per channel: how much of a small error's power passes through."""
    points = x.mean[..., None] + np.maximum(x.std, 1e-12)[..., None] * _Z
    step = 1e-3 * np.maximum(x.std, 1e-12)[..., None]
    above = function(points + step)
    points -= step  # in place, as far as it goes: these are the largest arrays there are
    slope = above - function(points)
    slope /= 2 * step
    gain: Array = np.square(slope, out=slope) @ _WEIGHTS
    return gain


def function_of(node: ir.Node) -> Function | None:
    """Return what an activation node computes; None for any other operator."""
    maker = FUNCTIONS.get(node.op_type) if node.domain == "" else None
    return None if maker is None else maker(node)


def elementwise(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Carry statistics through a function of one number."""
    x, function = inputs[0], function_of(node)
    if x is None or function is None:
        return None
    return [apply(function, x, DIPS.get(node.op_type))]


def apply(function: Function, x: ChannelStats, dip: float | None = None) -> ChannelStats:
    """Return the statistics of ``function`` of ``x``.

    ``dip`` is the place of the only minimum of a function that falls before it and rises after
    it; None for a monotone function.
    """
    mean, var = expectation(function, x)
    with np.errstate(invalid="ignore", over="ignore"):
        bounds = (np.clip(bound, -1e30, 1e30)[..., None] for bound in (x.low, x.high))
        ends = [function(bound)[..., 0] for bound in bounds]
    low, high = np.minimum(*ends), np.maximum(*ends)
    if dip is not None:
        bottom = function(np.full((*x.layout, 1), dip))[..., 0]
        low = np.where((x.low < dip) & (x.high > dip), np.minimum(low, bottom), low)
    low = np.where(low <= -1e25, -np.inf, low)
    high = np.where(high >= 1e25, np.inf, high)
    return stats(mean, var, low, high)


def _scalar(node: ir.Node, index: int, default: float) -> float:
    array = constant(node.inputs[index]) if len(node.inputs) > index else None
    return default if array is None else float(array.reshape(-1)[0])


def _clip(node: ir.Node) -> Function | None:
    if any(value is not None and not is_constant(value) for value in node.inputs[1:]):
        return None
    low, high = _scalar(node, 1, -np.inf), _scalar(node, 2, np.inf)
    return lambda x: np.clip(x, low, high)


def _leaky(node: ir.Node) -> Function:
    slope = node.attributes.get_float("alpha", 0.01)
    return lambda x: np.where(x < 0, slope * x, x)


def _prelu(node: ir.Node) -> Function | None:
    slope = constant(node.inputs[1])
    if slope is None:
        return None
    exact = slope.astype(np.float64)

    def prelu(x: Array) -> Array:
        missing = x.ndim - 1 - exact.ndim
        aligned = exact.reshape((1,) * missing + exact.shape)
        for axis in range(2, aligned.ndim):
            if x.shape[axis] == 1:  # pixels are alike, so are slopes: the steepest holds for all
                steep = np.abs(aligned).argmax(axis, keepdims=True)
                aligned = np.take_along_axis(aligned, steep, axis)
        return np.where(x < 0, aligned[..., None] * x, x)

    return prelu


def _hard_sigmoid(node: ir.Node) -> Function:
    alpha = node.attributes.get_float("alpha", 0.2)
    beta = node.attributes.get_float("beta", 0.5)
    return lambda x: np.clip(alpha * x + beta, 0, 1)


def _power(node: ir.Node) -> Function | None:
    """Return x to a constant power: whole, or of what is not below 0."""
    array = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if array is None or array.size != 1 or (array.ndim > 0 and array.shape != (1,)):
        return None
    exponent = float(array.reshape(-1)[0])
    if exponent == round(exponent) and 0 < exponent <= _MOST_POWER:
        return lambda x: x ** round(exponent)
    return (lambda x: np.maximum(x, 0) ** exponent) if 0 < exponent < _MOST_POWER else None


_MOST_POWER = 8


def _elu(node: ir.Node) -> Function:
    alpha = node.attributes.get_float("alpha", 1.0)
    return lambda x: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


def _celu(node: ir.Node) -> Function:
    alpha = node.attributes.get_float("alpha", 1.0)
    return lambda x: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0) / alpha), x)


def _selu(node: ir.Node) -> Function:
    alpha = node.attributes.get_float("alpha", 1.6732632)
    gamma = node.attributes.get_float("gamma", 1.0507010)
    return lambda x: gamma * np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


def _thresholded(node: ir.Node) -> Function:
    alpha = node.attributes.get_float("alpha", 1.0)
    return lambda x: np.where(x > alpha, x, 0)


def sigmoid(x: Array) -> Array:
    """Logistic function, stable at both ends."""
    return 0.5 * (1 + np.tanh(0.5 * x))


_erf = np.vectorize(erf, otypes=[float])


def normal_share(z: Array) -> Array:
    """Return the share of a normal distribution below ``z`` deviations from its mean."""
    share: Array = 0.5 * (1 + _erf(np.clip(z, -40, 40) / sqrt(2)))
    return share


def _gelu(x: Array) -> Array:
    value: Array = 0.5 * x * (1 + _erf(np.clip(x, -40, 40) / sqrt(2)))
    return value


def _always(function: Function) -> Callable[[ir.Node], Function]:
    return lambda node: function


FUNCTIONS: dict[str, Callable[[ir.Node], Function | None]] = {
    "Abs": _always(np.abs),
    "Celu": _celu,
    "Clip": _clip,
    "Elu": _elu,
    "Erf": _always(lambda x: _erf(np.clip(x, -40, 40))),
    "Exp": _always(lambda x: np.exp(np.minimum(x, 80))),
    "Gelu": _always(_gelu),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _always(lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "LeakyRelu": _leaky,
    "Log": _always(lambda x: np.log(np.maximum(x, 1e-30))),
    "Mish": _always(lambda x: x * np.tanh(np.logaddexp(0, x))),
    "Neg": _always(np.negative),
    "PRelu": _prelu,
    "Pow": _power,
    "Relu": _always(lambda x: np.maximum(x, 0)),
    "Selu": _selu,
    "Sigmoid": _always(sigmoid),
    "Softplus": _always(lambda x: np.logaddexp(0, x)),
    "Softsign": _always(lambda x: x / (1 + np.abs(x))),
    "Sqrt": _always(lambda x: np.sqrt(np.maximum(x, 0))),
    "Tanh": _always(np.tanh),
    "ThresholdedRelu": _thresholded,
}
"""What each operator computes, given its node."""

SILU_DIP = -1.2784645
DIPS = {
    "Abs": 0.0,
    "Gelu": -0.7517916,
    "HardSwish": -1.5,
    "LeakyRelu": 0.0,
    "Mish": -1.1924312,
    "PRelu": 0.0,
    "Pow": 0.0,
}
"""Where a function that may fall and rise again has its minimum."""


def softmax(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Softmax: shares of log-normal terms whose sum is taken as its mean."""
    x = inputs[0]
    if x is None:
        return None
    axis = node.attributes.get_int("axis", -1)
    shape = dims(node.inputs[0])
    if x.layout[axis] > 1:
        weight = np.exp(x.mean - x.mean.max(axis, keepdims=True) + np.minimum(x.var, 20) / 2)
        mean = weight / weight.sum(axis, keepdims=True)
    else:
        width = shape[axis] if shape is not None else None
        if width is None:
            return None
        mean = np.full(x.layout, 1 / width)
    var = np.minimum(mean**2 * np.expm1(np.minimum(x.var, 20)), mean * (1 - mean))
    return [stats(mean, var, 0.0, 1.0)]


def negate(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Neg: linear, so nothing is assumed of the distribution."""
    return None if inputs[0] is None else [negated(inputs[0])]


def negated(x: ChannelStats) -> ChannelStats:
    """Return the statistics of -x."""
    return stats(-x.mean, x.var, -x.high, -x.low)


def wave(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Sin and Cos, which rise and fall: never beyond 1, whatever comes in."""
    if inputs[0] is None:  # places, counted as the network runs
        size = rank(node.outputs[0])
        return None if size is None else [stats(np.zeros((1,) * size), 0.5, -1.0, 1.0)]
    mean, var = expectation(np.sin if node.op_type == "Sin" else np.cos, inputs[0])
    return [stats(mean, var, -1.0, 1.0)]


ACTIVATIONS: dict[str, Rule] = {
    **dict.fromkeys(FUNCTIONS, elementwise),
    **dict.fromkeys(("Cos", "Sin"), wave),
    "Neg": negate,
    "Softmax": softmax,
}
