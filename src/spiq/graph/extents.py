"""How large a network's tensors become for inputs of a given size, before it is run."""

import math
from collections.abc import Sequence

import onnx
import onnx_ir as ir

from spiq.graph.query import dims
from spiq.graph.shapes import inferred, without_stated
from spiq.graph.skeleton import skeleton

Extent = tuple[int, int]
"""Height and width."""

_FIRST = 2
"""Axes, batch and channels, that come before those of space."""


_COLOURS, _LEAST = 3, 16
"""What one picture without a batch is told by: as many colours first, and sides from this on."""


FRAMES = 16
"""Of a film, or slices of a volume, where their number is open: what most pooling leaves one of."""


def is_one_picture(shape: Sequence[object]) -> bool:
    """Return whether a shape is that of a picture without a batch, as detectors take in a list.

    >>> is_one_picture([3, 320, None]), is_one_picture([1, 197, 192])
    (True, False)
    """
    sides = [size for size in shape[1:] if isinstance(size, int)]
    return len(shape) == 3 and shape[0] == _COLOURS and all(size >= _LEAST for size in sides)


def is_in_colour(shape: Sequence[object]) -> bool:
    """Return whether a shape is that of pictures of three colours, which come first or last.

    >>> is_in_colour([1, 224, 224, 3]), is_in_colour([1, 1, 224, 224])
    (True, False)
    """
    return is_one_picture(shape) or (len(shape) == 4 and _COLOURS in (shape[1], shape[3]))


def has_space(shape: Sequence[object]) -> bool:
    """Return whether a shape has height and width: pictures, films, volumes, bands of any number.

    >>> has_space([1, 10, 64, 64]), has_space([3, 320, None]), has_space([1, 16000])
    (True, True, False)
    """
    return len(shape) in (4, 5) or is_one_picture(shape)


def largest(model: ir.Model, size: Extent) -> int:
    """Return how many numbers the largest tensor has for one input.

    Args:
        model: A network whose shapes are inferred. It is left as it is.
        size: Height and width of inputs that leave them open.

    Returns:
        The most numbers that a tensor is known to have; tensors of unknown size do not count.
    """
    if not has_open_sizes(model.graph):
        values = (value for node in model.graph for value in node.outputs)
        return max((_numbers(dims(value)) for value in values), default=0)
    proto = without_stated(skeleton(model))
    for value in proto.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                dim.dim_value = taken_for(axis, len(value.type.tensor_type.shape.dim), size)
    try:
        found = inferred(proto).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return 0  # it does not fit such inputs, and running it says why
    infos = (*found.value_info, *found.output)
    shapes = ([d.dim_value or None for d in info.type.tensor_type.shape.dim] for info in infos)
    return max(map(_numbers, shapes), default=0)


def taken_for(axis: int, rank: int, size: Extent) -> int:
    """Return what an open axis of a picture, a film, a volume or a sequence is; a batch is 1.

    >>> [taken_for(axis, 4, (320, 200)) for axis in range(4)]
    [1, 3, 320, 200]
    >>> [taken_for(axis, 5, (320, 200)) for axis in range(5)]
    [1, 16, 16, 320, 200]
    >>> [taken_for(axis, 3, (320, 200)) for axis in range(3)]
    [1, 320, 320]
    """
    if rank == 5 and axis in (1, 2):
        return FRAMES
    if rank < 4 and axis > 0:
        return size[0]
    if rank == 4 and axis == 1:
        return _COLOURS
    first = 3 if rank == 5 else _FIRST
    return size[min(axis - first, 1)] if axis >= first else 1


def has_open_sizes(graph: ir.Graph) -> bool:
    """Return whether an input leaves a size open beside the batch: of space, or how long it is."""
    return any(None in (dims(value) or [])[1:] for value in graph.inputs)


def _numbers(shape: list[int | None] | None) -> int:
    """Return how many numbers a tensor has, the batch being 1 where it is open."""
    if not shape or None in shape[1:]:
        return 0
    return math.prod(size or 1 for size in shape)
