"""Where the channels of the network's input are."""

import math

import onnx_ir as ir

from spiq.graph.extents import is_one_picture
from spiq.graph.query import constant, dims, ints, is_constant


def channel_axis(value: ir.Value) -> int:
    """Return where an input's channels are.

    That is the axis which Transposes in front of the first layers make the second one, behind
    Casts and arithmetic or not; the last one where layers on tokens read it; the third one where
    films, (N, T, C, H, W), become a batch of frames; and the second one where there is none, but
    the first one of a picture without a batch. Samples of sound, spectrograms and rows of
    pixels, to which the network gives the axis of channels itself, in front or last and then
    turned, have none: it is that of the batch.
    """
    rank = len(dims(value) or [])
    if is_one_picture(dims(value) or []):
        return 0
    orders: dict[ir.Value, tuple[int | None, ...]] = {value: tuple(range(rank))}
    ends = set[int]()
    waiting = [value]
    while waiting:
        current = waiting.pop()
        for node in current.consumers():
            order = orders[current]
            if node.op_type in ("Shape", "Size"):
                continue
            if node.op_type == "Transpose":
                turned = ints(node, "perm", list(range(rank))[::-1])
                order = tuple(order[axis] for axis in turned)
            elif (grown := _grown(node, order)) is not None:
                order = grown
            elif node.op_type not in _KEEPS_AXES or len(dims(node.outputs[0]) or order) != len(
                order
            ):
                ends.add(order[_taken(node, current, len(order))] or 0)
                continue
            orders[node.outputs[0]] = order
            waiting.append(node.outputs[0])
    return ends.pop() if len(ends) == 1 else 1


def _taken(node: ir.Node, value: ir.Value, size: int) -> int:
    """Return the axis of ``value`` along which a node takes channels."""
    if _gives_channels(node):
        return 0
    if _takes_last(node, value):
        return -1
    return 2 if _takes_frames(node, value) else min(1, size - 1)


def _grown(node: ir.Node, order: tuple[int | None, ...]) -> tuple[int | None, ...] | None:
    """Return the axes of ``order`` and behind them a new one, None, if that is what a node adds."""
    added = constant(node.inputs[1]) if len(node.inputs) == 2 else None
    if node.op_type != "Unsqueeze" or added is None or added.size != 1:
        return None
    return (*order, None) if int(added.reshape(-1)[0]) in (-1, len(order)) else None


def _gives_channels(node: ir.Node) -> bool:
    """Return whether a node puts an axis of one channel behind the batch: (N, T) to (N, 1, T).

    So does one that makes a picture of a row of pixels, (N, CHW) to (N, C, H, W).
    """
    before, after = dims(node.inputs[0]) or [], dims(node.outputs[0]) or []
    if node.op_type == "Reshape" and len(before) == 2 and len(after) == 4:
        return None not in after[1:] and before[1] == math.prod(size or 0 for size in after[1:])
    if len(after) != len(before) + 1 or after[1] != 1 or before[1] == 1:
        return False
    return node.op_type == "Unsqueeze" or (node.op_type == "Reshape" and after[2:] == before[1:])


def channel_count(value: ir.Value) -> int:
    """Return how many channels an input has; 1 where that is open, or where it has none."""
    shape, axis = dims(value) or [], channel_axis(value)
    alike = axis == 0 and not is_one_picture(shape)
    return 1 if alike else shape[axis] or 1


def _takes_frames(node: ir.Node, value: ir.Value) -> bool:
    """Return whether a node makes a batch of frames of films."""
    shape, made = dims(value) or [], dims(node.outputs[0]) or []
    frames = node.op_type == "Reshape" and len(shape) == 5 and len(made) == 4
    return frames and made[1:] == shape[2:] and None not in made[1:]


def _takes_last(node: ir.Node, value: ir.Value) -> bool:
    """Return whether a node takes channels along the last axis of ``value``, as of tokens."""
    shape = dims(value) or []
    if node.op_type == "Reshape":  # to rows, for a Gemm
        rows = dims(node.outputs[0]) or []
        return len(shape) > 2 and len(rows) == 2 and rows[1] == shape[-1] is not None
    if node.op_type == "MatMul":
        return node.inputs[0] is value and is_constant(node.inputs[1])
    if node.op_type == "LayerNormalization":
        return node.attributes.get_int("axis", -1) in (-1, len(shape) - 1)
    return node.op_type in _ON_LAST


_ON_LAST = frozenset({"GRU", "LSTM", "RMSNormalization", "RNN"})

_KEEPS_AXES = frozenset({"Add", "Cast", "Clip", "Div", "Gather", "Identity", "Mul", "Neg", "Pad",
                         "Resize", "Slice", "Sub"})  # fmt: skip
