"""Functions of one number that are spelt as several operators.

GELU by Erf or Tanh, Mish, HardSwish by Clip, x x x, Elu by Where ...: every path from a tensor x to
the node goes through functions of one number, and arithmetic or comparisons with single numbers.
The node is then a function of x, and to take its operands as independent would be wrong: an Elu of
Where(x < 0, exp(x) - 1, x) had the range of exp(x), and 12 dB where it has 40.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, data_inputs, rank
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.rules.activations import Function, expectation, function_of

_NUMBERS: dict[str, Callable[..., Array]] = {
    "Add": np.add, "Div": np.divide, "Max": np.maximum, "Min": np.minimum, "Mul": np.multiply,
    "Sub": np.subtract, "Where": np.where,
}  # fmt: skip
_STEPS: dict[str, Callable[..., Array]] = {
    **_NUMBERS,
    "And": np.logical_and, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
    "Less": np.less, "LessOrEqual": np.less_equal, "Not": np.logical_not, "Or": np.logical_or,
}  # fmt: skip
"""What joins several functions of x, or numbers, to one; comparisons for what is chosen by them."""

_COUNTS = {"Not": 1, "Where": 3}
"""Operands of what has not two."""

_DEPTH = 8
_POINTS = 257
_FAR = 12.0
"""Deviations from the mean within which the least and the largest value are looked for."""


def composed(node: ir.Node) -> tuple[ir.Value, Function] | None:
    """Return x and f if ``node``, which joins several paths, computes f(x); the nearest such x."""
    if node.domain != "" or node.op_type not in _NUMBERS or len(data_inputs(node)) < 2:
        return None
    for root in _candidates(node):
        function = _function(node, root, _DEPTH)
        if function is not None:
            return root, function
    return None


def raised(node: ir.Node) -> tuple[ir.Value, Function, float] | None:
    """Return x, f and p if ``node`` computes an f(x) that grows as x^p, p from 1.2 to 3.2."""
    size = rank(node.outputs[0])
    if node.domain != "" or node.op_type not in ("Mul", "Pow") or size is None:
        return None
    function = function_of(node)
    found = composed(node) if function is None else None
    if function is not None and node.inputs[0] is not None:
        found = node.inputs[0], function
    if found is None:
        return None
    ends = np.array([-2.0, -1.0, 1.0, 2.0]) * _GROWN
    with np.errstate(all="ignore"):
        values = np.abs(found[1](ends.reshape((1,) * size + (-1,))).reshape(-1))
    growth = max(values[0], values[3]) / max(values[1], values[2], 1e-300)
    return (*found, float(np.log2(growth))) if _GROWTH[0] < growth < _GROWTH[1] else None


_GROWN, _GROWTH = 1e4, (2**1.2, 2**3.2)
"""Where growth is looked at, and by what f grows from there to twice of it."""


def _candidates(node: ir.Node) -> Iterator[ir.Value]:
    """Yield what is read on the way up, the nearest first."""
    seen: dict[ir.Value, None] = {}
    front = [node]
    for _ in range(_DEPTH):
        values = [value for one in front for value in data_inputs(one) if value not in seen]
        seen.update(dict.fromkeys(values))
        yield from dict.fromkeys(values)
        made = [producer for value in values if (producer := value.producer()) is not None]
        front = [one for one in made if _is_step(one)]


def _is_step(node: ir.Node) -> bool:
    return node.domain == "" and (node.op_type in _STEPS or function_of(node) is not None)


def _function(node: ir.Node, root: ir.Value, depth: int) -> Function | None:
    """Return what ``node`` computes of ``root``, if of nothing else."""
    if depth == 0 or not _is_step(node):
        return None
    if node.op_type not in _STEPS:
        inner, outer = _operand(node.inputs[0], root, depth), function_of(node)
        return None if inner is None or outer is None else _chained(outer, inner)
    if len(node.inputs) != _COUNTS.get(node.op_type, 2):
        return None
    operands = [_operand(value, root, depth) for value in node.inputs]
    known = [function for function in operands if function is not None]
    return _joined(_STEPS[node.op_type], known) if len(known) == len(operands) else None


def _operand(value: ir.Value | None, root: ir.Value, depth: int) -> Function | None:
    if value is root:
        return lambda x: x
    array = constant(value)
    if array is not None:
        number = (
            float(array.reshape(-1)[0]) if array.size == 1 and array.dtype.kind == "f" else None
        )
        return None if number is None else lambda x: np.full_like(x, number)
    producer = value.producer() if value is not None else None
    return None if producer is None else _function(producer, root, depth - 1)


def _chained(outer: Function, inner: Function) -> Function:
    return lambda x: outer(inner(x))


def _joined(step: Callable[..., Array], operands: Sequence[Function]) -> Function:
    def joined(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return step(*(function(x) for function in operands))

    return joined


def over(function: Function, low: Array, high: Array) -> tuple[Array, Array]:
    """Return the least and the largest value of a function between two finite ends."""
    share = np.linspace(0, 1, _POINTS)
    values = function(low[..., None] + (high - low)[..., None] * share)
    return values.min(axis=-1), values.max(axis=-1)


def apply_composed(function: Function, x: ChannelStats) -> ChannelStats:
    """Return the statistics of a function of ``x`` that may rise and fall."""
    mean, var = expectation(function, x)
    with np.errstate(all="ignore"):
        far = [
            function(np.clip(bound, -1e30, 1e30)[..., None])[..., 0] for bound in (x.low, x.high)
        ]
    reach = _FAR * x.std + 1.0
    near = over(function, np.maximum(x.low, x.mean - reach), np.minimum(x.high, x.mean + reach))
    low, high = np.minimum.reduce([near[0], *far]), np.maximum.reduce([near[1], *far])
    low = np.where(np.isnan(low) | (low <= -1e25), -np.inf, low)
    high = np.where(np.isnan(high) | (high >= 1e25), np.inf, high)
    return stats(mean, var, low, high)
