"""Inputs that need no data: pictures in the range of a network's input.

Dead leaves alone (:func:`synthetic_inputs`) where it is to be quick, one picture of many kinds
after the other (:func:`synthetic_pictures`) where channels are to show what they do, and others
(:func:`soft_pictures`) where it is to be seen how well that went.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spiq.graph.extents import Extent, has_space, is_in_colour, is_one_picture, taken_for
from spiq.runtime.opened import Opened, Port
from spiq.runtime.pictures import KINDS, SOFT_KINDS, leaves, picture, soft_picture
from spiq.stats.inputs.conventions import PIXEL_MEAN, PIXEL_STD

Images = npt.NDArray[np.float32]
Tensors = dict[str, npt.NDArray[np.generic]]
_Draw = Callable[[Sequence[int], int], Images]
"""Draws a shape, of pictures so much further on."""

Span = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Low and high end of a tensor, shaped to broadcast over it."""

_CANVAS, _DRAWN = 1024, 64
"""Height and width that are drawn at most of larger images, and how many images."""

DYNAMIC_SIZE, PICTURE_SIZE, SOFT_SIZE = (64, 64), (320, 320), (128, 128)
"""Height and width where an input leaves them open: to run at all, to observe, to compare."""

_UNSEEN = 1000
"""Added to the seeds of numbers that stand for no picture."""

_APART = 1000 * len(KINDS) * len(SOFT_KINDS)
"""Added to the seeds of each further input: another picture of the same kind. Two inputs that see
the same one make a difference of branches (Siamese networks) zero. Those of one shape see it every
other time all the same, moved a little, as two cameras or frames do: they may agree, too."""

_COLOURS = (1, 3, 4)
"""Numbers of channels by which an input that has them last is known."""

_MOVES = 2
"""Pixels by which a picture moves from one frame of a film, or slice of a volume, to the next."""

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

    def drawn(shape: Sequence[int], apart: int) -> Images:
        return dead_leaves(shape, seed=seed + apart)

    return _filled(opened, ranges, shapes, batch, seed, drawn)


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

    def drawn(shape: Sequence[int], apart: int) -> Images:
        count, channels, height, width = shape
        first = number + apart
        turns = range(first, first + count * len(KINDS), len(KINDS))
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

    def drawn(shape: Sequence[int], apart: int) -> Images:
        count, *each = shape
        first = number + apart
        turns = range(first, first + count * len(SOFT_KINDS), len(SOFT_KINDS))
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
    nodes = opened.get_inputs()
    words = (min(size[0], _CAPTION),) * 2 if any(map(is_pictured, nodes)) else size
    return {node.name: _shape(node, size if is_pictured(node) else words) for node in nodes}


def _shape(node: Port, size: Extent) -> list[int]:
    shape = [one if isinstance(one, int) else None for one in node.shape]
    last = len(shape) == 4 and _has_channels_last(shape)
    first = 1 if last or is_one_picture(shape) else 0
    given = [
        size[axis - first] if first and axis >= first else taken_for(axis, len(shape), size)
        for axis in range(min(len(shape), first + 2) if first else len(shape))
    ]
    return [given[axis] if n is None else n for axis, n in enumerate(shape)]


def _filled(
    opened: Opened,
    ranges: Mapping[str, Span] | None,
    shapes: Mapping[str, list[int]],
    batch: int,
    seed: int,
    draw: _Draw,
) -> Tensors:
    """Fill image inputs with what ``draw`` makes, others with noise, integers, or masks."""
    tensors: Tensors = {}
    firsts: dict[tuple[object, ...], int] = {}
    for place, node in enumerate(opened.get_inputs()):
        if node.name not in shapes:
            continue
        shape, apart = shapes[node.name], _APART * place
        if shape and not isinstance(node.shape[0], int):
            shape[0] = batch
        span = (ranges or {}).get(node.name)
        if is_pictured(node):
            low, high = span or (np.array(-2.0), np.array(2.0))
            first = firsts.setdefault((node.type, *shape), apart)
            here = draw if first == apart else _beside(draw, first, seed)
            tensors[node.name] = (low + (high - low) * _first(here, shape, apart)).astype(
                _NUMPY[node.type]
            )
        else:
            rng = np.random.default_rng(seed + apart)
            tensors[node.name] = _numbers(shape, _NUMPY.get(node.type, np.int64), span, rng)
    return tensors


def is_pictured(node: Port) -> bool:
    """Return whether pictures are shown: to floats and bytes with space, to integers in colour."""
    kind, shape = node.type, node.shape
    if kind in _PICTURED:
        return has_space(shape)
    return kind.startswith(("tensor(int", "tensor(uint")) and is_in_colour(shape)


def _beside(draw: _Draw, first: int, seed: int) -> _Draw:
    """Draw pictures of an input like another one, ``first`` further on: half are its own, moved."""

    def drawn(shape: Sequence[int], apart: int) -> Images:
        own, other = draw(shape, apart), draw(shape, first)
        same = (seed + np.arange(len(own))) % 2 == 1
        moved = np.roll(other, _MOVES, axis=-1)
        return np.where(same.reshape(-1, 1, 1, 1), moved, own)

    return drawn


def _numbers(
    shape: Sequence[int], kind: type[np.generic], span: Span | None, rng: np.random.Generator
) -> npt.NDArray[np.generic]:
    """Return what stands for no picture: noise, integers from one end to another, or a mask.

    Noise has the moments that pictures between the ends would have; by default 0 and 1.
    """
    if issubclass(kind, np.floating):
        noise = rng.standard_normal(shape)
        if span is not None:
            noise = span[0] + (span[1] - span[0]) * (PIXEL_MEAN + PIXEL_STD * noise)
        return noise.astype(kind)
    if span is not None:
        first, last = (int(end) for end in span)
        return np.asarray(rng.integers(first, last, shape, endpoint=True), kind)
    made = np.zeros(shape, kind)  # the first index is in every table
    if issubclass(kind, np.bool_) and made.ndim:
        made[..., : (made.shape[-1] + 1) // 2] = True
    return made


def _first(draw: _Draw, shape: Sequence[int], apart: int) -> Images:
    """Draw with channels, a batch and frames where ``shape`` has them; films move."""
    if len(shape) == 5 and shape[1] not in _COLOURS[:2] and shape[2] in _COLOURS[:2]:
        films = _first(draw, (shape[0], shape[2], shape[1], *shape[3:]), apart)
        return films.swapaxes(1, 2)
    if len(shape) == 5:
        still = draw((*shape[:2], *shape[3:]), apart)
        return np.stack([np.roll(still, _MOVES * at, axis=-1) for at in range(shape[2])], axis=2)
    if len(shape) == 3:
        return np.asarray(draw((1, *shape), apart)[0], np.float32)
    if not _has_channels_last(shape):
        return draw(shape, apart)
    count, height, width, channels = shape
    return draw((count, channels, height, width), apart).transpose(0, 2, 3, 1)


def _has_channels_last(shape: Sequence[object]) -> bool:
    return shape[3] in _COLOURS and shape[1] not in _COLOURS


_PICTURED = frozenset({"tensor(float)", "tensor(float16)", "tensor(uint8)"})

_NUMPY: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint16)": np.uint16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
}
