"""Stored images, one part in memory at a time.

A part is an ``.npz`` file with ``images`` (uint8, (N, height, width, channels)) and ``labels``
(integer, (N,)). Parts follow one another in the order of their names.
"""

import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spiq.errors import CardError, ConfigError
from spiq.tasks.cards import Card

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def parts(card: Card) -> list[Path]:
    """The files of the card's data set, sorted by name.

    Raises:
        CardError: There are none.
    """
    found = sorted(card.dataset.dir.glob(card.dataset.images))
    if not found:
        raise CardError(
            f"{card.path}: no file in {card.dataset.dir} matches images = {card.dataset.images!r}"
        )
    return found


def count(card: Card, *, limit: int | None = None) -> int:
    """How many images :func:`samples` yields; reads labels, no images.

    Raises:
        CardError: A part cannot be read, or there are fewer images than the card's ``n``.
        ConfigError: ``limit`` is below 1.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}: it must be at least 1")
    available = sum(len(_array(part, "labels")) for part in parts(card))
    expected = available if card.dataset.n is None else card.dataset.n
    if available < expected or available == 0:
        raise CardError(
            f"{card.path}: [dataset] n = {expected}, but {card.dataset.dir} holds {available} "
            "images: a part is missing or n is wrong"
        )
    return expected if limit is None else min(limit, expected)


def samples(card: Card, *, limit: int | None = None) -> Iterator[tuple[Images, int]]:
    """Yield the first ``limit`` (None: all) images of the card with their labels.

    An image is uint8, (height, width, channels), as stored: RGB, or grey with one channel.

    Raises:
        CardError: A part cannot be read or does not hold what the card says.
        ConfigError: ``limit`` is below 1.
    """
    everything = (sample for part in parts(card) for sample in _samples(part, card))
    return islice(everything, count(card, limit=limit))


def batches(card: Card, *, size: int, limit: int | None = None) -> Iterator[tuple[Images, Labels]]:
    """Yield :func:`samples` as batches of ``size``; the last one may be smaller.

    Images are uint8, (n, height, width, channels), labels int64, (n,).

    Raises:
        CardError: As :func:`samples`.
        ConfigError: ``size`` or ``limit`` is below 1.
    """
    if size < 1:
        raise ConfigError(f"batch is {size}: it must be at least 1")
    remaining = samples(card, limit=limit)
    while chunk := list(islice(remaining, size)):
        images, labels = zip(*chunk, strict=True)
        yield np.stack(images), np.array(labels, dtype=np.int64)


def _samples(part: Path, card: Card) -> Iterator[tuple[Images, int]]:
    images, labels = _array(part, "images"), _array(part, "labels")
    channels, height, width = card.input.shape
    if images.dtype != np.uint8 or images.shape[1:] != (height, width, channels):
        raise CardError(
            f"{part}: images are {images.dtype} {images.shape}, but {card.path} says uint8 "
            f"(N, {height}, {width}, {channels})"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise CardError(
            f"{part}: labels are {labels.dtype} {labels.shape}: "
            f"{len(images)} images need as many whole numbers"
        )
    for image, label in zip(images, labels, strict=True):
        # A view would keep this part in memory while the next one loads.
        yield image.copy(), int(label)


def _array(part: Path, key: str) -> npt.NDArray[Any]:
    try:
        with part.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            if key not in stored:
                raise CardError(f"{part}: it has no array {key!r}, only {', '.join(stored)}")
            array: npt.NDArray[Any] = stored[key]
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise CardError(f"{part}: not a readable .npz file: {error}") from error
    return array
