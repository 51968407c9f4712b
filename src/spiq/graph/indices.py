"""Which inputs of a network are indices, and of tables of how many rows, and which are masks.

Words, categories, users and items come as integers that a Gather looks up, perhaps cut, turned or
shifted on the way there. A network that is shown nothing but index 0 makes the same of all places.
Integers that nothing is looked up by are taken for masks, of ones and zeros; those in the shape of
pictures in colour for pixels, as bytes are.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx_ir as ir

from spiq.graph.extents import is_in_colour
from spiq.graph.operators import MOVING
from spiq.graph.query import Array, constant, dims


def pixel_ends(value: ir.Value) -> tuple[float, float] | None:
    """Return the least and the largest pixel of an input of integers; None where it has none."""
    if value.dtype is None or not value.dtype.is_integer():
        return None
    if value.dtype != ir.DataType.UINT8 and not is_in_colour(dims(value) or []):
        return None
    return (-128.0, 127.0) if value.dtype == ir.DataType.INT8 else (0.0, 255.0)


def integer_ends(graph: ir.Graph) -> dict[str, tuple[Array, Array]]:
    """Return the least and the largest number of inputs of integers, where they are known."""
    last = {str(value.name): 1 for value in graph.inputs if _is_mask(value)}
    last |= {name: rows - 1 for name, rows in table_rows(graph).items()}
    return {name: (np.zeros(()), np.array(float(end))) for name, end in last.items()}


def _is_mask(value: ir.Value) -> bool:
    """Return whether an input holds integers, one per place, and nothing is looked up by them."""
    if value.dtype is None or not value.dtype.is_integer() or pixel_ends(value) is not None:
        return False
    waiting, seen = [value], set[ir.Value]()
    while waiting:
        current = waiting.pop()
        seen.add(current)
        for node, place in current.uses():
            if node.op_type.startswith(("Gather", "Scatter")) and place == 1:
                return False
            if node.op_type not in ("Shape", "Size"):
                waiting += [made for made in node.outputs if made not in seen]
    return bool(dims(value))


def table_rows(graph: ir.Graph) -> Mapping[str, int]:
    """Return how many rows the tables have that inputs index, by input: of the shortest one."""
    found = {
        str(value.name): min(rows)
        for value in graph.inputs
        if value.dtype is not None and value.dtype.is_integer() and (rows := [*_rows(value, set())])
    }
    return {name: rows for name, rows in found.items() if rows > 0}


def _rows(value: ir.Value, seen: set[ir.Value]) -> Iterator[int]:
    """Yield the rows of each table that is indexed by ``value``, or what is made of it."""
    if value in seen:
        return
    seen.add(value)
    for node, place in value.uses():
        if node.op_type == "Gather" and place == 1:
            shape = dims(node.inputs[0]) or []
            axis = node.attributes.get_int("axis", 0)
            size = shape[axis] if -len(shape) <= axis < len(shape) else None
            yield from () if size is None else (size,)
        elif node.op_type == "Add":
            shift = constant(node.inputs[1 - place])
            if shift is not None and shift.size:
                yield from (size - int(shift.max()) for size in _rows(node.outputs[0], seen))
        elif node.op_type in MOVING | {"Cast"} and (place == 0 or node.op_type == "Concat"):
            for made in node.outputs:
                yield from _rows(made, seen)
