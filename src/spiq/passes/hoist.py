"""Steps per channel behind movers of a layer's result: into the layer.

    layer -> Reshape -> Transpose -> x a + b    is    layer, rows times a and plus b, -> Reshape ...

where each channel of what is multiplied is one output of the layer, as in ConvNeXt's factor per
channel behind a layer on tokens. Steps that lie right behind a layer fold with BatchNormalization,
see :mod:`spiq.passes.batchnorm`.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import bypass_step
from spiq.graph.query import (
    Array,
    constant,
    data_inputs,
    dims,
    ints,
    is_constant,
    rank,
    sole_consumer,
)
from spiq.graph.runs import runs
from spiq.passes.batchnorm import LARGEST
from spiq.passes.layer_weights import can_take_rows, scale_rows


def hoist_steps(model: ir.Model) -> int:
    """Fold in place; return how many steps were folded."""
    folded = 0
    for node in list(model.graph):
        step = _step(node)
        if step is None:
            continue
        axis, array = step
        layer = _layer_above(data_inputs(node)[0], node, axis)
        if layer is None or not bypass_step(node):
            continue
        outputs = dims(layer.outputs[0])
        assert outputs is not None and outputs[1] is not None
        full = np.broadcast_to(array, outputs[1])
        ones, zeros = np.ones_like(full), np.zeros_like(full)
        scale_rows(layer, *((full, zeros) if node.op_type == "Mul" else (ones, full)))
        folded += 1
    return folded


def _step(node: ir.Node) -> tuple[int, Array] | None:
    """Return the axis of a constant per channel that is added or multiplied, and the constant."""
    if node.op_type not in ("Add", "Mul") or node.domain != "" or len(data_inputs(node)) != 1:
        return None
    array = constant(node.inputs[0] if is_constant(node.inputs[0]) else node.inputs[1])
    shape = dims(data_inputs(node)[0])
    if array is None or array.dtype != np.float32 or shape is None or array.ndim > len(shape):
        return None
    varies = [axis for axis, size in enumerate(array.shape) if size > 1]
    exact = array.astype(np.float64).reshape(-1)
    if len(varies) != 1 or not (np.abs(exact) <= LARGEST).all():
        return None
    axis = varies[0] + len(shape) - array.ndim
    return (axis, exact) if shape[axis] == len(exact) else None


def _layer_above(value: ir.Value, reader: ir.Node, axis: int) -> ir.Node | None:
    """Return the layer whose outputs lie along an axis of what movers make of them."""
    while (node := value.producer()) is not None and sole_consumer(value) is reader:
        if can_take_rows(node):
            shape = dims(value)
            return node if reader.op_type in _MOVES and axis == 1 and shape and shape[1] else None
        above = _above(node, axis) if node.domain == "" and node.op_type in _MOVES else None
        if above is None or node.inputs[0] is None:
            return None
        value, reader, axis = node.inputs[0], node, above
    return None


_MOVES = frozenset({"Reshape", "Transpose"})


def _above(node: ir.Node, axis: int) -> int | None:
    """Return the axis of a mover's input that is ``axis`` of its output."""
    size = rank(node.inputs[0])
    if size is None:
        return None
    if node.op_type == "Transpose":
        return ints(node, "perm", list(range(size))[::-1])[axis]
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    old = new = 0
    for theirs, ours in runs(before, after) or () if before and after else ():
        if new <= axis < new + len(ours):
            wide = [place for place, count in enumerate(theirs) if count != 1]
            alone = len(wide) == 1 and theirs[wide[0]] == ours[axis - new]
            return old + wide[0] if alone else None
        old, new = old + len(theirs), new + len(ours)
    return None
