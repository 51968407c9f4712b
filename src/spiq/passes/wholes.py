"""Slices that take all of a tensor, and scatters that replace all of it.

    x[:, :C] with C channels                    x
    ScatterND(x, 0 .. N-1, updates)             updates

PyTorch writes ``x[:, :C] += y`` so, and exports it unless its own optimizer runs.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import bypass, remove_unused
from spiq.graph.query import constant, dims
from spiq.graph.shapes import infer

_ENDLESS = 2**31 - 1
"""Ends from here on are no sizes, but mean: to the end."""


def drop_wholes(model: ir.Model) -> int:
    """Remove both in place; return how many were removed."""
    removed = 0
    for node in list(model.graph):
        if node.op_type == "Slice" and node.domain == "" and _takes_all(node):
            removed += bypass(node)
        elif node.op_type == "ScatterND" and node.domain == "" and _replaces_all(node):
            node.replace_input_with(0, node.inputs[2])  # what is left
            removed += bypass(node)
    if removed:
        remove_unused(model.graph)
        infer(model)
    return removed


def _takes_all(node: ir.Node) -> bool:
    starts, ends, *others = (constant(value) for value in node.inputs[1:])
    shape = dims(node.inputs[0])
    if starts is None or ends is None or shape is None or starts.any():
        return False
    if any(array is None for array, value in zip(others, node.inputs[3:], strict=True) if value):
        return False
    axes = others[0] if others and others[0] is not None else np.arange(starts.size)
    steps = others[1] if len(others) > 1 and others[1] is not None else np.ones(starts.size)
    sizes = [shape[axis] for axis in axes.tolist()]
    reached = [
        end >= (_ENDLESS if size is None else size)
        for end, size in zip(ends.tolist(), sizes, strict=True)
    ]
    return all(reached) and bool((steps == 1).all())


def _replaces_all(node: ir.Node) -> bool:
    """Return whether updates come for each index of the first axis, in order."""
    data, indices = node.inputs[:2]
    if node.attributes.get_string("reduction", "none") != "none":
        return False
    if (numbers := constant(indices)) is not None:
        first = (dims(data) or [None])[0]
        return first is not None and np.array_equal(numbers, np.arange(first)[:, None])
    column = indices.producer() if indices is not None else None
    if column is None or column.op_type != "Unsqueeze" or dims(indices) is None:
        return False
    axes, source = constant(column.inputs[1]), column.inputs[0]
    last = axes is not None and axes.tolist() in ([1], [-1])
    return last and source is not None and _counts(source.producer(), data)


def _counts(node: ir.Node | None, data: ir.Value | None) -> bool:
    """Return whether a node is a Range from 0 to the first size of a tensor."""
    if node is None or node.op_type != "Range":
        return False
    start, step = constant(node.inputs[0]), constant(node.inputs[2])
    if start is None or step is None or int(start) != 0 or int(step) != 1:
        return False
    size = node.inputs[1].producer() if node.inputs[1] is not None else None
    place = constant(size.inputs[1]) if size is not None and size.op_type == "Gather" else None
    if size is None or place is None or place.size != 1 or int(place) != 0:
        return False
    sizes = size.inputs[0].producer() if size.inputs[0] is not None else None
    return sizes is not None and sizes.op_type == "Shape" and sizes.inputs[0] is data
