"""The images with classes or masks that a card names, whatever their layout, one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spiq.errors import CardError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data import folders, npz, pictures
from spiq.evaluation.data.npz import parts
from spiq.io.images import DecodingError
from spiq.value_checks import at_least

__all__ = ["Images", "Labels", "Sample", "count", "counted", "files", "parts", "samples"]

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One image, in the size of the network's input."""

    name: str
    image: Images | None
    """(height, width, channels): RGB, or grey with one channel; None: it cannot be decoded."""
    label: Any
    """A class, a mask (height, width), or boxes."""
    problem: str = ""
    """Why it cannot be decoded."""


def count(card: Card, *, limit: int | None = None) -> int:
    """How many images the card names, those included that cannot be decoded; reads no image.

    Raises:
        CardError: A file cannot be read, or there are fewer images than the card's ``n``.
        ConfigError: ``limit`` is below 1.
    """
    at_least(1, limit=limit)
    stored = card.dataset.layout == "npz"
    available = npz.count(card) if stored else len(folders.entries(card))
    expected = available if card.dataset.n is None else card.dataset.n
    if available < expected or available == 0:
        raise CardError(
            f"{card.path}: [dataset] n = {expected}, but {card.dataset.dir} holds {available} "
            "images: a part is missing or n is wrong"
        )
    return expected if limit is None else min(limit, expected)


def counted(
    card: Card, *, limit: int | None = None, begin: int = 0
) -> tuple[int, Iterator[Sample]]:
    """Return what :func:`count` and :func:`samples` do."""
    return count(card, limit=limit), samples(card, limit=limit, begin=begin)


def samples(card: Card, *, limit: int | None = None, begin: int = 0) -> Iterator[Sample]:
    """Yield the first ``limit`` (None: all) images of the card and their labels, from ``begin`` on.

    Raises:
        CardError: The data set is not as the card says.
        ConfigError: ``limit`` is below 1, or there are image files and Pillow is not installed.
    """
    total = count(card, limit=limit)
    if card.dataset.layout == "npz":
        for name, pixels, answer in islice(npz.samples(card, begin=begin), total - begin):
            yield Sample(name=name, image=pixels, label=answer)
        return
    for entry in folders.entries(card)[begin:total]:
        try:
            image, label = pictures.load(entry, card)
        except DecodingError as error:
            yield Sample(name=entry.image.name, image=None, label=None, problem=str(error))
        else:
            yield Sample(name=entry.image.name, image=image, label=label)


def files(card: Card) -> list[Path]:
    """The pictures and masks of the card; none where images are arrays."""
    if card.dataset.layout == "npz":
        return []
    listed = folders.entries(card)[: card.dataset.n]
    masks = [entry.label for entry in listed if isinstance(entry.label, Path)]
    return list(dict.fromkeys(entry.file for entry in listed)) + masks
