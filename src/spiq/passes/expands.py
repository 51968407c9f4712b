"""An Expand in front of an operator that broadcasts by itself.

    x * Expand(gate, Shape(x))    is    x * gate,

as exporters write ``x * gate.expand_as(x)``. The gate stays one number per channel, and products of
it are products by a gate, on integers too.
"""

import onnx_ir as ir

from spiq.graph.edit import remove_unused

_BROADCASTING = frozenset({"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Where"})


def drop_expands(model: ir.Model) -> int:
    """Read what is expanded instead, in place; return how many operators now do."""
    changed = 0
    for node in list(model.graph):
        if node.op_type != "Expand" or node.domain != "" or node.inputs[0] is None:
            continue
        for reader, place in list(node.outputs[0].uses()):
            if _expands_by_itself(reader, place):
                reader.replace_input_with(place, node.inputs[0])
                changed += 1
    if changed:
        remove_unused(model.graph)
    return changed


def _expands_by_itself(reader: ir.Node, place: int) -> bool:
    """Return whether an operator has another input of the shape that one is expanded to."""
    if reader.op_type not in _BROADCASTING or reader.domain != "":
        return False
    expanded = reader.inputs[place]
    others = [x for at, x in enumerate(reader.inputs) if at != place and x is not expanded]
    shape = _shape(expanded)
    return shape is not None and any(_shape(other) == shape for other in others)


def _shape(value: ir.Value | None) -> list[int | str] | None:
    """Return a shape whose sizes are known, by number or by name."""
    if value is None or value.shape is None:
        return None
    sizes = [size if isinstance(size, int) else size.value for size in value.shape]
    return None if None in sizes else [size for size in sizes if size is not None]
