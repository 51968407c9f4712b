"""The images with classes or masks that a card names, whatever their layout, one at a time.

Image files that cannot be decoded are left out; ``skipped`` then collects which, and why.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from spiq.errors import CardError, ConfigError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data import folders, npz, pictures
from spiq.evaluation.data.npz import parts

__all__ = ["Images", "Labels", "Sample", "batches", "count", "parts", "samples"]

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One image, in the size of the network's input."""

    name: str
    image: Images
    """(height, width, channels): RGB, or grey with one channel."""
    label: Any
    """A class, or a mask (height, width)."""


def count(card: Card, *, limit: int | None = None) -> int:
    """How many images the card names, those included that cannot be decoded; reads no image.

    Raises:
        CardError: A file cannot be read, or there are fewer images than the card's ``n``.
        ConfigError: ``limit`` is below 1.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}: it must be at least 1")
    stored = card.dataset.layout == "npz"
    available = npz.count(card) if stored else len(folders.entries(card))
    expected = available if card.dataset.n is None else card.dataset.n
    if available < expected or available == 0:
        raise CardError(
            f"{card.path}: [dataset] n = {expected}, but {card.dataset.dir} holds {available} "
            "images: a part is missing or n is wrong"
        )
    return expected if limit is None else min(limit, expected)


def samples(
    card: Card, *, limit: int | None = None, skipped: list[str] | None = None
) -> Iterator[Sample]:
    """Yield the first ``limit`` (None: all) images of the card with their labels.

    Args:
        card: A task card.
        limit: Only that many images, from the first on, those included that are left out.
        skipped: Is extended by a line for each image that cannot be decoded.

    Raises:
        CardError: The data set is not as the card says, or no image can be decoded.
        ConfigError: ``limit`` is below 1.
    """
    total = count(card, limit=limit)
    if card.dataset.layout == "npz":
        for name, pixels, answer in islice(npz.samples(card), total):
            yield Sample(name=name, image=pixels, label=answer)
        return
    failed: list[str] = []
    for entry in folders.entries(card)[:total]:
        try:
            image, label = pictures.load(entry, card)
        except pictures.DecodingError as error:
            failed.append(str(error))
            if skipped is not None:
                skipped.append(str(error))
            continue
        yield Sample(name=entry.image.name, image=image, label=label)
    if len(failed) == total:
        raise CardError(f"{card.path}: none of {total} images can be decoded; {failed[0]}")


def batches(
    card: Card, *, size: int, limit: int | None = None, skipped: list[str] | None = None
) -> Iterator[tuple[Images, Labels]]:
    """Yield :func:`samples` as batches of ``size``; the last one may be smaller.

    Images are uint8, (n, height, width, channels), labels int64, (n,) or (n, height, width).

    Raises:
        CardError: As :func:`samples`.
        ConfigError: ``size`` or ``limit`` is below 1.
    """
    if size < 1:
        raise ConfigError(f"batch is {size}: it must be at least 1")
    remaining = samples(card, limit=limit, skipped=skipped)
    while chunk := list(islice(remaining, size)):
        images = np.stack([sample.image for sample in chunk])
        yield images, np.array([sample.label for sample in chunk], dtype=np.int64)
