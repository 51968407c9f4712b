"""Limits of what is taken: tensors with which a network can still be run, and counted numbers."""

import math

import onnx_ir as ir

from spiq.errors import ModelError, UnsupportedError
from spiq.graph.query import constant, dims, shown
from spiq.io.checks import describe

_MOST = 1 << 31
"""Bytes of a tensor with which a network can still be run on an ordinary machine."""

_BATCH = 4096
"""Images at a time, likewise."""

_COUNTED = 1 << 28
"""Numbers that a Range may have."""


def counts(model: ir.Model, *, where: str) -> None:
    """Refuse a Range over more numbers than can be meant; the inference itself would count them.

    Raises:
        ModelError: There is one.
    """
    for node in model.graph.all_nodes():
        given = [constant(value) for value in node.inputs[:3]] if node.op_type == "Range" else []
        known = [array for array in given if array is not None and array.dtype.kind in "iuf"]
        if node.domain or len(known) < 3 or any(array.size != 1 for array in known):
            continue
        start, end, step = (float(array.reshape(-1)[0]) for array in known)
        if not step or not (end - start) / step <= _COUNTED:
            raise ModelError(
                f"{where}: {describe(node)} counts from {start:g} to {end:g} in steps of {step:g}: "
                "the file is damaged, export it again"
            )


def extents(model: ir.Model, *, where: str) -> None:
    """Refuse a network with tensors that are empty, or too large to be run.

    Args:
        model: The model, shapes inferred.
        where: The model's name for messages.

    Raises:
        ModelError: An input has a size of 0.
        UnsupportedError: A tensor takes more than 2 GB, or an input too many images; it is named.
    """
    inputs = list(model.graph.inputs)
    for value in (*inputs, *(value for node in model.graph for value in node.outputs)):
        shape = dims(value)
        if shape is None:
            continue
        if value in inputs and 0 in shape:
            raise ModelError(
                f"{where}: input {value.name!r} has the shape {shown(value)}, which holds nothing: "
                "export the network again"
            )
        size = _bytes_of(value.dtype) * math.prod(length for length in shape if length is not None)
        if size > _MOST:
            raise UnsupportedError(
                f"{where}: tensor {value.name!r} of shape {shown(value)} takes {size / 1e9:.3g} "
                "GB, but the network has to be run to check it: export it for smaller inputs"
            )
        if value in inputs and len(shape) == 4 and (shape[0] or 0) > _BATCH:
            raise UnsupportedError(
                f"{where}: input {value.name!r} takes {shape[0]} images at a time, but the network "
                "has to be run to check it: export it with a dynamic batch"
            )


def _bytes_of(kind: ir.DataType | None) -> float:
    """Return how much a number takes; for texts, and where it is not known, the least."""
    if kind is None or kind in (ir.DataType.UNDEFINED, ir.DataType.STRING):
        return 1
    return kind.itemsize
