"""Padding that is a node of its own becomes that of the operators that read it.

=============================================  ====================================
written                                        becomes
=============================================  ====================================
Pad (zeros, space only) -> Conv                Conv with these pads
Pad (no number of x is less) -> MaxPool        MaxPool with these pads
=============================================  ====================================

A pool takes the largest of what it sees: what is no more than any number never counts, unless it
is all there is to see. That it is not: pads are narrower than the kernel, which has no gaps. What
is no more than any number is minus infinity, by any of its usual names (-3.4e38, float16's
-65504), or what a rectifier, a gate or the like never falls below.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, feeds_only, ints, rank, spatial
from spiq.passes.bounds import bounds_of
from spiq.passes.cleanup import kernel_shape

NO_NUMBER = -65504.0
"""Least number of float16: what is filled with it or less is masked."""

_DEEP = 8
"""Operators back that are asked for what they never fall below."""


def fold_pads(model: ir.Model) -> int:
    """Move padding of space into the convolutions and pools that read it."""
    folded = 0
    for node in list(model.graph):
        fill, pads = _fill(node), _spatial_pads(node)
        if fill is None or pads is None:
            continue
        if fill == 0 and feeds_only(node.outputs[0], "Conv"):
            folded += _into(node, pads, _is_explicit)
        elif fill <= max(NO_NUMBER, least(node.inputs[0])):
            folded += _into(node, pads, _pools_within)
    return folded


def _into(
    node: ir.Node, pads: list[int], takes: Callable[[ir.Node, list[int], list[int] | None], bool]
) -> int:
    """Move ``pads`` from ``node`` to each reader that takes them; return whether that is all."""
    size = spatial(node.inputs[0])
    for reader in node.outputs[0].consumers():
        own = ints(reader, "pads", [0] * len(pads))
        added = [a + b for a, b in zip(own, pads, strict=True)]
        if takes(reader, added, size):
            reader.attributes.add(ir.AttrInt64s("pads", added))
            reader.replace_input_with(0, node.inputs[0])
    if node.outputs[0].uses() or node.outputs[0].is_graph_output():
        return 0
    assert isinstance(node.graph, ir.Graph)
    node.graph.remove(node, safe=True)
    return 1


def _is_explicit(node: ir.Node, pads: list[int], size: list[int] | None) -> bool:
    return node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"


def _pools_within(node: ir.Node, pads: list[int], size: list[int] | None) -> bool:
    """Return whether a pool with ``pads`` sees a number in each window, and as many windows."""
    if node.op_type != "MaxPool" or node.domain or not _is_explicit(node, pads, size):
        return False
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return False  # positions, which count from the padding's corner
    kernel = kernel_shape(node)
    gaps = any(gap > 1 for gap in ints(node, "dilations", [1]))
    if gaps or any(pad >= width for pad, width in zip(pads, kernel * 2, strict=True)):
        return False
    return not node.attributes.get_int("ceil_mode", 0) or _ends_inside(node, pads, size)


def _ends_inside(node: ir.Node, pads: list[int], size: list[int] | None) -> bool:
    """Return whether no window starts in the padding at the end: the runtime drops such ones."""
    if size is None:
        return False
    kernel, half = kernel_shape(node), len(size)
    strides = ints(node, "strides", [1] * half)
    for axis, (width, window, step) in enumerate(zip(size, kernel, strides, strict=True)):
        steps = -(-(width + pads[axis] + pads[axis + half] - window) // step)
        if steps * step >= width + pads[axis]:
            return False
    return True


def _spatial_pads(node: ir.Node) -> list[int] | None:
    """Return the pads of a Pad by a constant, begins and ends, where they are of space alone."""
    if node.op_type != "Pad" or node.domain != "":
        return None
    if node.attributes.get_string("mode", "constant") != "constant":
        return None
    pads = constant(node.inputs[1])
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
    size = rank(node.inputs[0]) if axes is not None else len(pads) // 2 if pads is not None else 0
    if pads is None or not size or size < 3 or (axes is None and len(node.inputs) > 3):
        return None
    places = range(size) if axes is None else [int(axis) % size for axis in axes]
    both = np.zeros((2, size), np.int64)
    both[:, list(places)] = pads.reshape(2, -1)
    if both[:, :2].any() or both.min() < 0:
        return None
    return [int(pad) for pad in both[:, 2:].reshape(-1)]


def _fill(node: ir.Node) -> float | None:
    """Return the number that a Pad fills with; None where it is not constant."""
    if node.op_type != "Pad" or node.domain != "":
        return None
    given = node.inputs[2] if len(node.inputs) > 2 else None
    array = np.zeros(1) if given is None else constant(given)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


_LEAST = {
    "Abs": 0.0, "Exp": 0.0, "HardSigmoid": 0.0, "Sigmoid": 0.0, "Softmax": 0.0, "Softplus": 0.0,
    "Sqrt": 0.0, "Tanh": -1.0,
}  # fmt: skip
_PASS_ON = frozenset({"Concat", "Dropout", "Identity", "MaxPool", "Reshape", "Transpose"})


def least(value: ir.Value | None, deep: int = _DEEP) -> float:
    """Return a number that ``value`` never falls below, as its operators alone tell."""
    node = value.producer() if value is not None else None
    if node is None or node.domain or not deep:
        return -np.inf
    if (bounded := bounds_of(node)) is not None:
        source, (low, high) = bounded
        return low if np.isfinite(low) else min(least(source, deep - 1), high)
    if node.op_type in _LEAST:
        return _LEAST[node.op_type]
    if node.op_type == "Add":
        return sum(least(given, deep - 1) for given in node.inputs)
    if node.op_type in _PASS_ON:
        moved = node.inputs if node.op_type == "Concat" else node.inputs[:1]
        return min(least(given, deep - 1) for given in moved)
    return -np.inf
