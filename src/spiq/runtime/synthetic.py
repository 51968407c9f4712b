"""Inputs that need no data: pictures in the range of a network's input.

Dead leaves alone (:func:`synthetic_inputs`) where it is to be quick, one picture of many kinds
after the other (:func:`synthetic_pictures`) where channels are to show what they do, and others
(:func:`soft_pictures`) where it is to be seen how well that went.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from spiq.graph.extents import Extent, is_one_picture
from spiq.runtime.opened import Opened
from spiq.runtime.pictures import KINDS, SOFT_KINDS, leaves, picture, soft_picture

Images = npt.NDArray[np.float32]
Tensors = dict[str, npt.NDArray[np.generic]]
Span = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Low and high end of a tensor, shaped to broadcast over it."""

_CANVAS, _DRAWN = 1024, 64
"""Height and width that are drawn at most of larger images, and how many images."""

DYNAMIC_SIZE, PICTURE_SIZE, SOFT_SIZE = (64, 64), (320, 320), (128, 128)
"""Height and width where an input leaves them open: to run at all, to observe, to compare."""

_UNSEEN = 1000
"""Added to the seeds of numbers that stand for no picture."""

_COLOURS = (1, 3, 4)
"""Numbers of channels by which an input that has them last is known."""

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


def dead_leaves(shape: Sequence[int], *, seed: int = 0, discs: int = 120) -> Images:
    """Return images of occluding discs with values from 0 to 1.

    Args:
        shape: (images, channels, height, width).
        seed: Of the random numbers.
        discs: Per image.
    """
    count, channels, height, width = shape
    if height * width > _CANVAS**2 or count > _DRAWN:  # then parts repeat: drawing takes its time
        small = (min(count, _DRAWN), channels, min(height, _CANVAS), min(width, _CANVAS))
        drawn = dead_leaves(small, seed=seed, discs=discs)
        image, y, x = (
            np.arange(size) % have
            for size, have in zip((count, height, width), drawn[:, 0].shape, strict=True)
        )
        return drawn[image[:, None, None], :, y[:, None], x].transpose(0, 3, 1, 2)
    images = np.empty(tuple(shape), np.float32)
    rng = np.random.default_rng(seed)
    for image in images:
        image[:] = leaves(rng, channels, height, width, discs=discs)
    return np.clip(images, 0, 1)


def synthetic_inputs(
    opened: Opened,
    ranges: Mapping[str, Span] | None = None,
    *,
    images: int | None = None,
    seed: int = 0,
    size: Extent = DYNAMIC_SIZE,
    but: str | None = None,
) -> Tensors:
    """Return a batch of synthetic inputs for a network: dead leaves where it takes pictures.

    Args:
        opened: The network.
        ranges: Range of each image input, by name; -2 to 2 where it is missing.
        images: How many; by default a few, fewer the larger they are.
        seed: Of the random numbers.
        size: Height and width where they are not fixed.
        but: An input that is left out.
    """
    shapes = _shapes(opened, size)
    shapes.pop(but or "", None)
    batch = images or _batch(shapes)
    return _filled(opened, ranges, shapes, batch, seed, partial(dead_leaves, seed=seed))


def synthetic_pictures(
    opened: Opened,
    ranges: Mapping[str, Span] | None = None,
    *,
    number: int,
    size: Extent = PICTURE_SIZE,
) -> Tensors:
    """Return the inputs that show a network picture ``number`` of :mod:`spiq.runtime.pictures`.

    Args:
        opened: The network.
        ranges: Range of each image input, by name; -2 to 2 where it is missing.
        number: Of the picture; those of the same kind are ``len(KINDS)`` apart.
        size: Height and width where they are not fixed.
    """

    def drawn(shape: Sequence[int]) -> Images:
        count, channels, height, width = shape
        turns = range(number, number + count * len(KINDS), len(KINDS))
        return np.stack([picture(turn, (channels, height, width)) for turn in turns])

    return _filled(opened, ranges, _shapes(opened, size), 1, number, drawn)


def soft_pictures(
    opened: Opened,
    ranges: Mapping[str, Span] | None = None,
    *,
    number: int,
    sizes: Sizes = ANY,
) -> Tensors:
    """Return a batch of inputs that nothing was chosen by, to see how a network does.

    Args:
        opened: The network.
        ranges: Range of each image input, by name; -2 to 2 where it is missing.
        number: Of the batch: all pictures of one are of the same kind, and four batches of all.
        sizes: Height and width where they are not fixed, and how many images at most.
    """

    def drawn(shape: Sequence[int]) -> Images:
        count, *each = shape
        turns = range(number, number + count * len(SOFT_KINDS), len(SOFT_KINDS))
        return np.stack([soft_picture(turn, (each[0], each[1], each[2])) for turn in turns])

    shapes = _shapes(opened, sizes.compare)
    batch = min(_batch(shapes), sizes.batch)
    return _filled(opened, ranges, shapes, batch, _UNSEEN + number, drawn)


def _batch(shapes: Mapping[str, Sequence[int]]) -> int:
    """Return how many images to a batch: the fewer, the larger they are."""
    pixels = max((int(np.prod(shape[2:])) for shape in shapes.values()), default=1)
    return int(np.clip(_PIXELS // max(pixels, 1), 1, _IMAGES))


def _shapes(opened: Opened, size: Extent) -> dict[str, list[int]]:
    """Return the shape of each input, sizes that it leaves open filled in."""
    shapes = {}
    for node in opened.get_inputs():
        last = len(node.shape) == 4 and _has_channels_last(node.shape)
        first = 1 if last or is_one_picture(node.shape) else 2
        given = [size[int(axis > first)] for axis in range(len(node.shape))]
        fixed = [one if isinstance(one, int) else None for one in node.shape]
        shapes[node.name] = [given[axis] if n is None else n for axis, n in enumerate(fixed)]
    return shapes


def _filled(
    opened: Opened,
    ranges: Mapping[str, Span] | None,
    shapes: Mapping[str, list[int]],
    batch: int,
    seed: int,
    draw: Callable[[Sequence[int]], Images],
) -> Tensors:
    """Fill image inputs with what ``draw`` makes, others with noise or zeros."""
    tensors: Tensors = {}
    for node in opened.get_inputs():
        if node.name not in shapes:
            continue
        shape = shapes[node.name]
        alone = is_one_picture(node.shape)
        if shape and not isinstance(node.shape[0], int):
            shape[0] = batch
        if node.type in ("tensor(float)", "tensor(uint8)") and (len(shape) == 4 or alone):
            low, high = (ranges or {}).get(node.name, (np.array(-2.0), np.array(2.0)))
            kind = np.float32 if node.type == "tensor(float)" else np.uint8
            tensors[node.name] = (low + (high - low) * _first(draw, shape)).astype(kind)
        elif node.type == "tensor(float)":
            rng = np.random.default_rng(seed)
            tensors[node.name] = rng.standard_normal(shape).astype(np.float32)
        else:
            tensors[node.name] = np.zeros(shape, _NUMPY.get(node.type, np.int64))
    return tensors


def _first(draw: Callable[[Sequence[int]], Images], shape: Sequence[int]) -> Images:
    """Draw with channels first or last, as ``shape`` has them, and with a batch or without."""
    if len(shape) == 3:
        return np.asarray(draw((1, *shape))[0], np.float32)
    if not _has_channels_last(shape):
        return draw(shape)
    count, height, width, channels = shape
    return draw((count, channels, height, width)).transpose(0, 2, 3, 1)


def _has_channels_last(shape: Sequence[object]) -> bool:
    return shape[3] in _COLOURS and shape[1] not in _COLOURS


_NUMPY = {
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
}
