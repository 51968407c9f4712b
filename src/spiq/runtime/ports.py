"""What the inputs of an opened network take: pictures or numbers, of what shape and type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spiq.graph.extents import Extent, has_space, is_in_colour, is_one_picture, taken_for
from spiq.runtime.opened import Opened, Port

DYNAMIC_SIZE, PICTURE_SIZE, SOFT_SIZE = (64, 64), (320, 320), (128, 128)
"""Height and width where an input leaves them open: to run at all, to observe, to compare."""

_COLOURS = (1, 3, 4)
"""Numbers of channels by which an input that has them last is known."""

_CAPTION = 16
"""How long words, or other sequences of open length, are that go in beside a picture."""

_PIXELS, _IMAGES = 224 * 224, 8
"""Images to a batch: as many as these pixels make, and no more than that."""


@dataclass(frozen=True)
class Sizes:
    """What a network is shown.

    Attributes:
        observe, compare, quick: Height and width of inputs that leave them open: of pictures to
            observe it by, to compare it by, and to see only a little.
        batch: Images at a time, at most.
    """

    observe: Extent = PICTURE_SIZE
    compare: Extent = SOFT_SIZE
    quick: Extent = DYNAMIC_SIZE
    batch: int = _IMAGES


ANY = Sizes()
"""Where it makes no difference, or nobody looked."""


def is_pictured(port: Port) -> bool:
    """Return whether pictures are shown: to floats and bytes with space, to integers in colour."""
    kind, shape = port.type, port.shape
    if kind in _PICTURED:
        return has_space(shape)
    return kind.startswith(("tensor(int", "tensor(uint")) and is_in_colour(shape)


def batch_of(shapes: Mapping[str, Sequence[int]]) -> int:
    """Return how many images to a batch: the fewer, the larger they are.

    Args:
        shapes: Of the inputs, by name.
    """
    pixels = max((int(np.prod(shape[2:])) for shape in shapes.values()), default=1)
    return int(np.clip(_PIXELS // max(pixels, 1), 1, _IMAGES))


def shapes_of(opened: Opened, size: Extent) -> dict[str, list[int]]:
    """Return the shape of each input by name, sizes that it leaves open filled in.

    Args:
        opened: The network.
        size: Height and width of pictures; of sequences too, where no picture goes in.
    """
    ports = opened.get_inputs()
    words = (min(size[0], _CAPTION),) * 2 if any(map(is_pictured, ports)) else size
    return {port.name: _shape(port, size if is_pictured(port) else words) for port in ports}


def _shape(port: Port, size: Extent) -> list[int]:
    shape = [one if isinstance(one, int) else None for one in port.shape]
    last = len(shape) == 4 and has_channels_last(shape)
    first = 1 if last or is_one_picture(shape) else 0
    given = [
        size[axis - first] if first and axis >= first else taken_for(axis, len(shape), size)
        for axis in range(min(len(shape), first + 2) if first else len(shape))
    ]
    return [given[axis] if n is None else n for axis, n in enumerate(shape)]


def has_channels_last(shape: Sequence[object]) -> bool:
    """Return whether pictures of such a shape, of four axes, have their channels last."""
    return shape[3] in _COLOURS and shape[1] not in _COLOURS


_PICTURED = frozenset({"tensor(double)", "tensor(float)", "tensor(float16)", "tensor(uint8)"})

NUMPY: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
}
