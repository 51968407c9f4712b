"""One spelling for what holds numbers within bounds, so that a grid's ends can stand for it.

=============================================  ====================================
written                                        becomes
=============================================  ====================================
Max, Min of a tensor and single numbers        Clip
Where(x > 0, x, 0) and its likes               Clip
Clip behind Clip or Relu, Relu behind either   one Clip: see below
Clip from 0 without an upper bound             Relu
Clip without bounds, Max with minus infinity   nothing
=============================================  ====================================

Holding x within [a, b] and the result within [c, d] is to hold x within
[min(max(a, c), d), min(max(b, c), d)].
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import bypass, initializer, remove_unused, replace
from spiq.graph.query import constant, is_float32, rank, sole_consumer

_LARGEST = float(np.finfo(np.float32).max)

Bounds = tuple[float, float]


def merge_bounds(model: ir.Model) -> int:
    """Write all that bounds a float32 tensor as one Relu or Clip, in place."""
    changed = 0
    for node in list(model.graph):
        if node.graph is None or not node.outputs or not is_float32(node.outputs[0]):
            continue
        found = bounds_of(node)
        if found is None:
            continue
        source, (low, high) = found
        before = source.producer()
        inner = bounds_of(before) if before is not None and sole_consumer(source) else None
        if inner is not None:
            source, (a, b) = inner
            low, high = min(max(a, low), high), min(max(b, low), high)
        changed += _write(model.graph, node, source, low, high)
        if inner is not None and before is not None and not before.outputs[0].uses():
            model.graph.remove(before, safe=True)
    if changed:
        remove_unused(model.graph)
    return changed


def bounds_of(node: ir.Node) -> tuple[ir.Value, Bounds] | None:
    """Return what ``node`` holds within which bounds, if that is all that it does."""
    reader = _READERS.get(node.op_type) if node.domain == "" else None
    found = reader(node) if reader is not None else None
    if found is None:
        return None
    source, (low, high) = found
    low, high = (-np.inf if low <= -_LARGEST else low), (np.inf if high >= _LARGEST else high)
    kept = node.op_type in ("Clip", "Relu") or rank(source) == rank(node.outputs[0]) is not None
    return (source, (low, high)) if kept and low <= high and is_float32(source) else None


def _relu(node: ir.Node) -> tuple[ir.Value, Bounds] | None:
    source = node.inputs[0]
    return None if source is None else (source, (0.0, np.inf))


def _clip(node: ir.Node) -> tuple[ir.Value, Bounds] | None:
    given = [*node.inputs[1:], None, None]
    low, high = _number(given[0], -np.inf), _number(given[1], np.inf)
    source = node.inputs[0]
    return None if source is None or low is None or high is None else (source, (low, high))


def _extreme(node: ir.Node) -> tuple[ir.Value, Bounds] | None:
    data = [value for value in node.inputs if value is not None and constant(value) is None]
    found = [_number(value, np.nan) for value in node.inputs if value not in data]
    numbers = [number for number in found if number is not None]
    if len(data) != 1 or not numbers or len(numbers) < len(found) or np.isnan(numbers).any():
        return None
    return data[0], ((max(numbers), np.inf) if node.op_type == "Max" else (-np.inf, min(numbers)))


def _where(node: ir.Node) -> tuple[ir.Value, Bounds] | None:
    """Where(x > c, x, c): the larger of both."""
    test = node.inputs[0].producer() if node.inputs[0] is not None else None
    if test is None or test.domain != "" or test.op_type not in _ORDERS:
        return None
    first, second = test.inputs
    chosen, other = node.inputs[1:3]
    rising = test.op_type.startswith("Greater")
    if (chosen, other) == (second, first) or (_same(chosen, second) and _same(other, first)):
        rising = not rising
    elif not (_same(chosen, first) and _same(other, second)):
        return None
    data = [value for value in (chosen, other) if value is not None and constant(value) is None]
    numbers = [_number(value, np.nan) for value in (chosen, other) if value not in data]
    if len(data) != 1 or numbers[0] is None or np.isnan(numbers[0]):
        return None
    return data[0], ((numbers[0], np.inf) if rising else (-np.inf, numbers[0]))


def _same(one: ir.Value | None, other: ir.Value | None) -> bool:
    a, b = _number(one, np.nan), _number(other, np.nan)
    return one is other or (a is not None and a == b)


def _number(value: ir.Value | None, default: float) -> float | None:
    """Return the single number that ``value`` holds; None if it holds anything else."""
    if value is None:
        return default
    array = constant(value)
    if array is None or array.size != 1 or array.dtype.kind != "f":
        return None
    return float(array.reshape(-1)[0])


_ORDERS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
_READERS = {"Relu": _relu, "Clip": _clip, "Max": _extreme, "Min": _extreme, "Where": _where}


def _write(graph: ir.Graph, node: ir.Node, source: ir.Value, low: float, high: float) -> bool:
    if (low, high) == (-np.inf, np.inf):
        if node.inputs[0] is not source:
            node.replace_input_with(0, source)
        return bypass(node)
    inputs = [source, *_ends(graph, node, low, high)]
    kind = "Relu" if (low, high) == (0, np.inf) else "Clip"
    if node.op_type == kind and node.inputs[0] is source and (kind == "Relu" or _is_plain(node)):
        return False
    replace(node, ir.node(kind, inputs[:1] if kind == "Relu" else inputs, name=node.name))
    return True


def _is_plain(node: ir.Node) -> bool:
    given = [constant(value) for value in node.inputs[1:]]
    return all(array is None or np.isfinite(array).all() for array in given)


def _ends(graph: ir.Graph, node: ir.Node, low: float, high: float) -> Iterator[ir.Value | None]:
    for name, end in (("low", low), ("high", high)):
        finite = np.isfinite(end)
        array = np.array(end, np.float32)
        yield initializer(graph, f"{node.name}_{name}", array) if finite else None
