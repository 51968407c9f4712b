"""Fixed sizes for networks that leave some open: one image, of the height and width that were told.

A size that has a name is fixed wherever the name stands.
"""

import onnx_ir as ir

from spiq.errors import ConfigError
from spiq.planning.plan.values import Plan

_BATCH, _HEIGHT = 0, 2


def fix_sizes(graph: ir.Graph, plan: Plan) -> None:
    """Fix the sizes of inputs, and with them all others, in place.

    Raises:
        ConfigError: A size is open, and nothing says what it is.
    """
    known: dict[str, int] = {}
    for value in graph.inputs:
        value.shape = _fixed_input(value, plan, known)
    for node in graph:
        for value in node.outputs:
            value.shape = _fixed(value.shape, known)


def _fixed_input(value: ir.Value, plan: Plan, known: dict[str, int]) -> ir.Shape:
    """Return the shape of an input; sizes by name go into ``known``."""
    size = plan.input_size
    extent = (size, size) if isinstance(size, int) else size
    sizes: list[int] = []
    for axis, given in enumerate(value.shape or ()):
        name = None if isinstance(given, int) else given.value
        if isinstance(given, int):
            sizes.append(given)
        elif name in known:
            sizes.append(known[name])
        elif axis == _BATCH:
            sizes.append(1)
        elif extent is not None and axis - _HEIGHT in (0, 1):
            sizes.append(extent[axis - _HEIGHT])
        else:
            raise ConfigError(
                f"input '{value.name}' leaves its size along axis {axis} open, and target "
                f"{plan.target} takes fixed sizes: give --input-size, or export it with that size"
            )
        if name is not None:
            known[name] = sizes[-1]
    return ir.Shape(sizes)


def _fixed(shape: ir.Shape | None, known: dict[str, int]) -> ir.Shape | None:
    """Return a shape with what is known of it; None where something stays open."""
    if shape is None:
        return None
    sizes = [size if isinstance(size, int) else known.get(size.value or "") for size in shape]
    return None if None in sizes else ir.Shape(sizes)
