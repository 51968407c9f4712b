"""Products of two matrices that both depend on the network's input: attention.

With a and b independent, and elements of a row as well,

    E[y_mn]   = sum_k E[a_mk] E[b_kn]
    Var[y_mn] = sum_k (E[a_mk^2] E[b_kn^2] - E[a_mk]^2 E[b_kn]^2).

Rows of a softmax add up to 1, so that y lies between the least and the largest of its b and has, at
most, their variance.
"""

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from spiq.graph.query import dims
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.maps import MOST
from spiq.stats.rules.linear import linear
from spiq.stats.rules.own_total import shares
from spiq.stats.rules.types import Inputs, Rule, merged, operand

_LONGEST = 1 << 14
"""Elements of a sum that are looked at one by one."""


def product(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """MatMul, by a constant weight or of two tensors."""
    found = linear(node, inputs)
    if found is not None:
        return found
    a, b = (operand(node, inputs, index) for index in (0, 1))
    shape = dims(node.inputs[0])
    if a is None or b is None or not shape or min(a.mean.ndim, b.mean.ndim) < 2:
        return None
    if shares_of_one(node.inputs[0]):
        return _averaged(a, b)
    count = shape[-1]
    if count is None or count > _LONGEST:
        return None
    return _summed(a, b, count)


def shares_of_one(value: ir.Value | None) -> bool:
    """Return whether the last axis of a tensor, moved or not, holds shares that add up to 1."""
    node = value.producer() if value is not None else None
    while node is not None and node.op_type in ("Dropout", "Identity"):
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node is None:
        return False
    softmax = node.op_type == "Softmax"
    over = (node.attributes.get_int("axis", -1),) if softmax else shares(node)
    return over in ((-1,), (len(dims(node.inputs[0]) or []) - 1,))


def _averaged(a: ChannelStats, b: ChannelStats) -> list[ChannelStats]:
    rows = merged(b, (-2,)) if b.layout[-2] > 1 else b
    heads = np.broadcast_shapes(a.layout[:-2], rows.layout[:-2])
    layout = (*heads, 1, rows.layout[-1])
    mean, var, low, high = (
        np.broadcast_to(array, layout) for array in (rows.mean, rows.var, rows.low, rows.high)
    )
    return [stats(mean, var, low, high)]


def _summed(a: ChannelStats, b: ChannelStats, count: int) -> list[ChannelStats] | None:
    heads = np.broadcast_shapes(a.layout[:-2], b.layout[:-2])
    if np.prod(heads) * a.layout[-2] * b.layout[-1] > MOST:
        return None

    def left(array: Array) -> Array:
        return np.broadcast_to(array, (*array.shape[:-1], count))

    def right(array: Array) -> Array:
        return np.broadcast_to(array, (*array.shape[:-2], count, array.shape[-1]))

    mean = left(a.mean) @ right(b.mean)
    squares = left(a.second_moment) @ right(b.second_moment)
    return [stats(mean, squares - left(a.mean**2) @ right(b.mean**2))]


def shown(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Identity: of a stack of matrices, what its columns look like."""
    known = operand(node, inputs, 0)
    if known is None or inputs[0] is not None:
        return None if known is None else [known]
    return [replace(merged(known, tuple(range(known.mean.ndim - 1))), source="constant")]


PRODUCTS: dict[str, Rule] = {"Identity": shown, "MatMul": product}
