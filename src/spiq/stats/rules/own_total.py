"""What is divided by its own sum or its own length.

    shares    y_i = x_i / sum_j x_j     of x_i >= 0: from 0 to 1, they add up to 1
    length    y_i = x_i / |x|           from -1 to 1, they have E[y_i^2] = 1/n in the mean

A quotient of independent tensors has no end, and a variance that is beside the point: the shares of
ConViT's attention, two softmaxes mixed and divided by their sum again, were stored on a grid from
-0.4 to 0.4 with 7 dB of them left.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, data_inputs, dims
from spiq.stats.channel import ChannelStats, stats, tail_of_shares
from spiq.stats.rules.norms import normalized
from spiq.stats.rules.pooling import reduced_axes
from spiq.stats.rules.types import Inputs

_AROUND = frozenset({"Add", "Cast", "Clip", "Expand", "Identity", "Max", "Reshape", "Squeeze",
                     "Unsqueeze"})  # fmt: skip
"""What may stand between the total and the quotient: a least value, and what lays it out."""


def shares(node: ir.Node) -> tuple[int, ...] | None:
    """Return the axes over which what a Div writes adds up to 1, if it divides by that sum."""
    total = _total(node)
    summed = total is not None and total.op_type in ("ReduceL1", "ReduceSum")
    if total is None or not summed or total.inputs[0] is not node.inputs[0]:
        return None
    return reduced_axes(total)


def lengths(node: ir.Node) -> tuple[int, ...] | None:
    """Return the axes over which what a Div writes has the length 1, if it divides by that."""
    total, value = _total(node), node.inputs[0]
    if total is None or value is None:
        return None
    if total.op_type == "ReduceL2" and total.inputs[0] is value:
        return reduced_axes(total)
    before = total.inputs[0].producer() if total.inputs[0] is not None else None
    if total.op_type != "Sqrt" or before is None:
        return None
    if before.op_type == "ReduceSumSquare" and before.inputs[0] is value:
        return reduced_axes(before)
    squared = before.op_type == "ReduceSum" and _is_square_of(before.inputs[0], value)
    return reduced_axes(before) if squared else None


def _is_square_of(square: ir.Value | None, value: ir.Value) -> bool:
    """Return whether a tensor is another one times itself, or to the power of 2."""
    node = square.producer() if square is not None else None
    if node is None or node.inputs[0] is not value:
        return False
    if node.op_type == "Mul":
        return node.inputs[1] is value
    power = constant(node.inputs[1]) if node.op_type == "Pow" else None
    return power is not None and power.size == 1 and float(power.reshape(-1)[0]) == 2


def _total(node: ir.Node) -> ir.Node | None:
    """Return what computes the divisor of a Div, behind what only lays it out."""
    if node.op_type != "Div" or node.domain != "" or len(data_inputs(node)) != 2:
        return None
    total = node.inputs[1].producer() if node.inputs[1] is not None else None
    while total is not None and total.op_type in _AROUND:
        sources = data_inputs(total)
        total = sources[0].producer() if len(sources) == 1 else None
    return total


def of_own_total(node: ir.Node, inputs: Inputs) -> list[ChannelStats] | None:
    """Div by a sum or a length of what is divided; None where it is by anything else."""
    x = inputs[0]
    for found, rule in ((shares(node), _shares), (lengths(node), _of_length_one)):
        if x is not None and found is not None and max(found) < x.mean.ndim:
            count = _count(node, found)
            return None if count is None else rule(x, found, count)
    return None


def _count(node: ir.Node, axes: tuple[int, ...]) -> float | None:
    shape = dims(node.inputs[0]) or []
    sizes = [shape[axis] if axis < len(shape) else None for axis in axes]
    known = [size for size in sizes if size is not None]
    return float(np.prod(known)) if len(known) == len(sizes) else None


def _shares(x: ChannelStats, axes: tuple[int, ...], count: float) -> list[ChannelStats] | None:
    total = count * x.mean.mean(axes, keepdims=True)
    if x.low.min() < 0 or total.min() <= 0:
        return None
    mean, var = x.mean / total, x.var / total**2
    spread = np.log1p(var / np.maximum(mean, 1e-30) ** 2)
    return [stats(mean, var, 0.0, 1.0, doubt=np.maximum(tail_of_shares(spread), x.doubt))]


def _of_length_one(
    x: ChannelStats, axes: tuple[int, ...], count: float
) -> list[ChannelStats] | None:
    normal = normalized(x, axes, count, centred=False)
    root = np.sqrt(count)
    return [stats(normal.mean / root, normal.var / count, -1.0, 1.0)]
