"""Inputs that need no data: pictures in the range of a network's input.

Dead leaves alone (:func:`synthetic_inputs`) where it is to be quick, one picture of many kinds
after the other (:func:`synthetic_pictures`) where channels are to show what they do, and others
(:func:`soft_pictures`) where it is to be seen how well that went.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from spiq.graph.extents import Extent
from spiq.runtime.opened import Opened, Tensors
from spiq.runtime.pictures import KINDS, SOFT_KINDS, leaves, picture, soft_picture
from spiq.runtime.ports import (
    ANY,
    DYNAMIC_SIZE,
    NUMPY,
    PICTURE_SIZE,
    Sizes,
    batch_of,
    has_channels_last,
    is_pictured,
    shapes_of,
)
from spiq.stats.inputs.conventions import PIXEL_MEAN, PIXEL_STD

Images = npt.NDArray[np.float32]
_Draw = Callable[[Sequence[int], int], Images]
"""Draws a shape, of pictures so much further on."""

Span = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Low and high end of a tensor, shaped to broadcast over it."""

_USUAL: Span = np.array(-2.0), np.array(2.0)
"""Range of pictures where none is known."""

_CANVAS, _DRAWN = 1024, 64
"""Height and width that are drawn at most of larger images, and how many images."""

_UNSEEN = 1000
"""Added to the seeds of numbers that stand for no picture."""

_APART = 1000 * len(KINDS) * len(SOFT_KINDS)
"""Added to the seeds of each further input: another picture of the same kind. Two inputs that see
the same one make a difference of branches (Siamese networks) zero. Those of one shape see it every
other time all the same, moved a little, as two cameras or frames do: they may agree, too."""

_FLAT = (1, 3)
"""Numbers of channels by which films are told from volumes."""

_MOVES = 2
"""Pixels by which a picture moves from one frame of a film, or slice of a volume, to the next."""


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
    shapes = shapes_of(opened, size)
    shapes.pop(but or "", None)
    batch = images or batch_of(shapes)

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

    return _filled(opened, ranges, shapes_of(opened, size), 1, number, drawn)


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

    shapes = shapes_of(opened, sizes.compare)
    batch = min(batch_of(shapes), sizes.batch)
    return _filled(opened, ranges, shapes, batch, _UNSEEN + number, drawn)


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
    for place, port in enumerate(opened.get_inputs()):
        if port.name not in shapes:
            continue
        shape, apart = shapes[port.name], _APART * place
        if shape and not isinstance(port.shape[0], int):
            shape[0] = batch
        span, kind = (ranges or {}).get(port.name), NUMPY.get(port.type, np.int64)
        if is_pictured(port):
            first = firsts.setdefault((port.type, *shape), apart)
            here = draw if first == apart else _beside(draw, first, seed)
            low, high = span or _USUAL
            tensors[port.name] = (low + (high - low) * _in_shape(here, shape, apart)).astype(kind)
        else:
            rng = np.random.default_rng(seed + apart)
            tensors[port.name] = _numbers(shape, kind, span, rng)
    return tensors


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

    Noise has the moments that pictures between the ends would have; by default 0 and 1. A single
    number, or a row of them, lies between the ends.
    """
    if issubclass(kind, np.floating):
        if len(shape) < 2 and span is not None:
            return np.asarray(rng.uniform(span[0], span[1], shape), kind)
        noise = rng.standard_normal(shape)
        if span is not None:
            noise = span[0] + (span[1] - span[0]) * (PIXEL_MEAN + PIXEL_STD * noise)
        return noise.astype(kind)
    if span is not None:
        first, last = int(np.min(span[0])), int(np.max(span[1]))
        return np.asarray(rng.integers(first, last, shape, endpoint=True), kind)
    made = np.zeros(shape, kind)  # the first index is in every table
    if issubclass(kind, np.bool_) and made.ndim:
        made[..., : (made.shape[-1] + 1) // 2] = True
    return made


def _in_shape(draw: _Draw, shape: Sequence[int], apart: int) -> Images:
    """Draw with channels, a batch and frames where ``shape`` has them; films move."""
    if len(shape) == 5 and shape[1] not in _FLAT and shape[2] in _FLAT:
        films = _in_shape(draw, (shape[0], shape[2], shape[1], *shape[3:]), apart)
        return films.swapaxes(1, 2)
    if len(shape) == 5:
        still = draw((*shape[:2], *shape[3:]), apart)
        return np.stack([np.roll(still, _MOVES * at, axis=-1) for at in range(shape[2])], axis=2)
    if len(shape) == 3:
        return np.asarray(draw((1, *shape), apart)[0], np.float32)
    if not has_channels_last(shape):
        return draw(shape, apart)
    count, height, width, channels = shape
    return draw((count, channels, height, width), apart).transpose(0, 2, 3, 1)
