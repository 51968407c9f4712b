"""Images and labels stored as arrays, one part in memory at a time.

A part is an ``.npz`` file with ``images`` (uint8, (N, height, width, channels)) and ``labels``
(whole numbers: (N,) for classification, (N, height, width) for segmentation). Parts follow one
another in the order of their names. Labels may be in a file of their own, for all parts together.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spiq.errors import CardError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.files import matching
from spiq.io.images import UNREADABLE, header

Array = npt.NDArray[Any]


def parts(card: Card) -> list[Path]:
    """The files of the card's data set, sorted by name; the labels' own file is none of them.

    Raises:
        CardError: There are none.
    """
    pattern = card.dataset.images or "*.npz"
    found = matching(card.dataset.dir, pattern)
    if card.dataset.labels:
        own = card.dataset.dir / card.dataset.labels
        found = [part for part in found if part != own]
    if not found:
        raise CardError(f"{card.path}: no file in {card.dataset.dir} matches images = {pattern!r}")
    return found


def count(card: Card) -> int:
    """How many images there are that have a label; reads no image.

    Raises:
        CardError: A part cannot be read.
    """
    available = sum(_length(part, "images") for part in parts(card))
    if card.task == "detection":
        return available
    if card.dataset.labels:
        return min(available, _length(card.dataset.dir / card.dataset.labels, "labels"))
    return sum(_length(part, "labels") for part in parts(card))


def labels(card: Card) -> Iterator[Array]:
    """Yield the labels of each part, or those of the labels' own file.

    Raises:
        CardError: A file cannot be read or has no labels.
    """
    own = card.dataset.dir / card.dataset.labels
    for path in [own] if card.dataset.labels else parts(card):
        yield array(path, "labels")


def samples(card: Card, *, begin: int = 0) -> Iterator[tuple[str, Array, Any]]:
    """Yield name, image and label (None: the task's labels are elsewhere), from ``begin`` on.

    Parts that end before are not read.

    Raises:
        CardError: A part cannot be read or does not hold what the card says.
    """
    shared = None
    if card.dataset.labels and card.task != "detection":
        path = card.dataset.dir / card.dataset.labels
        shared = array(path, "labels")
        _check_labels(path, shared, len(shared), card)
    number = 0
    for part in parts(card):
        if number < begin and number + (size := _length(part, "images")) <= begin:
            number += size
            continue
        rest = None if shared is None else shared[number:]
        for image, label in _part(part, card, rest):
            if number >= begin:
                yield f"{part.name}, image {number}", image, label
            number += 1


def array(part: Path, key: str) -> Array:
    """Read the array ``key`` of the file ``part``.

    Raises:
        CardError: The file cannot be read or lacks the array.
    """
    with _reading(part), part.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        if key not in stored:
            raise CardError(f"{part}: it has no array {key!r}, only {', '.join(stored)}")
        read: Array = stored[key]
    return read


def _length(part: Path, key: str) -> int:
    """The first dimension, from the array's header."""
    with _reading(part):
        try:
            shape = header(part, key).shape
        except KeyError as error:
            raise CardError(f"{part}: it has no array {key!r}, only {error.args[0]}") from error
    return shape[0] if shape else 0


@contextmanager
def _reading(part: Path) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise CardError(f"{part}: not a readable .npz file: {error}") from error


def _part(part: Path, card: Card, shared: Array | None) -> Iterator[tuple[Array, Any]]:
    images = array(part, "images")
    channels, height, width = card.input.shape
    if images.dtype != np.uint8 or images.shape[1:] != (height, width, channels):
        raise CardError(
            f"{part}: images are {images.dtype} {images.shape}, but {card.path} says uint8 "
            f"(N, {height}, {width}, {channels})"
        )
    own = shared
    if own is None and card.task != "detection":
        own = array(part, "labels")
        _check_labels(part, own, len(images), card)
    # Views would keep this part in memory while the next one loads.
    if own is None:
        yield from ((image.copy(), None) for image in images)
    else:
        for image, label in zip(images, own, strict=shared is None):
            yield image.copy(), label.copy()


def _check_labels(path: Path, found: Array, images: int, card: Card) -> None:
    masks = card.task == "segmentation"
    shape = (images, card.input.height, card.input.width) if masks else (images,)
    if found.shape != shape or found.dtype.kind not in "iu":
        wanted = f"whole numbers {shape}" if masks else "whole numbers"
        raise CardError(
            f"{path}: labels are {found.dtype} {found.shape}: {images} images need as many {wanted}"
        )
