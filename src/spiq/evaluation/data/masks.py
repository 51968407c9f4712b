"""Pictures with a mask each: which files belong together, and what their values mean.

    DIR/images/ID.jpg          DIR/masks/ID.png            one folder of each, or with a split
    DIR/SPLIT/images/ID.jpg    DIR/SPLIT/masks/ID.png      or
    DIR/images/SPLIT/ID.jpg    DIR/masks/SPLIT/ID.png

A mask has the name of its picture, or that and an ending such as ``_mask``. Its value is the class,
or, where the card has ``mask_values``, the place of the value in that list; other values are void.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spiq.errors import CardError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data.entry import Entry
from spiq.io.images import SUFFIXES, DecodingError, open_picture

_ENDINGS = ("", "_mask", "-mask", "_label", "_labels", "_seg", "_gt", "_L", "_segmentation")
VOID = 255
"""Label of pixels that count nowhere."""

_LOOKED_AT = 8
"""Masks that a doubt is founded on."""

Pixels = npt.NDArray[np.uint8]


def entries(card: Card) -> list[Entry]:
    """List the pictures with their masks; opens none of them.

    Raises:
        CardError: A folder is not there, or a picture has no mask.
    """
    images = _folder(card, card.dataset.images or "images")
    masks = _folder(card, card.dataset.labels or "masks")
    known = {path.stem: path for path in _pictures(masks)}
    pairs = [(image, _mask_of(image, known)) for image in _pictures(images)]
    found = [Entry(image=image, label=mask) for image, mask in pairs if mask is not None]
    if len(found) < len(pairs):
        alone = next(image for image, mask in pairs if mask is None)
        raise CardError(
            f"{card.path}: {len(pairs) - len(found)} of {len(pairs)} pictures have no mask in "
            f"{masks}, such as {alone.name}: a mask has the name of its picture"
        )
    return found


def decoded(path: Path) -> Pixels:
    """The values of a mask, (height, width).

    Raises:
        DecodingError: It cannot be decoded, or has no single byte per pixel.
    """
    mask = open_picture(path)
    if mask.mode == "1":
        mask = mask.convert("L")
    if mask.mode not in ("P", "L"):
        raise DecodingError(
            f"{path}: a mask of mode {mask.mode}: one byte per pixel (P or L) must say the class"
        )
    return np.asarray(mask)


def check_size(path: Path, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Check that a mask has the size (width, height) of its picture.

    Raises:
        DecodingError: It has another one.
    """
    if size != wanted:
        raise DecodingError(f"{path}: a mask of size {size}; its picture's size is {wanted}")


def as_classes(values: Pixels, listed: Sequence[int]) -> Pixels:
    """The class of each value, the place in ``listed``; void where it is not there."""
    table = np.full(256, VOID, np.uint8)
    table[list(listed)] = np.arange(len(listed), dtype=np.uint8)
    return table[values]


def values(files: Sequence[Path], most: int = _LOOKED_AT) -> list[int]:
    """The values that occur in the first ``most`` masks that can be decoded, sorted."""
    found: set[int] = set()
    for path in files[:most]:
        try:
            mask = open_picture(path)
        except DecodingError:
            continue
        found |= set(np.unique(np.asarray(mask.convert("L") if mask.mode == "1" else mask)))
    return sorted(map(int, found))


def doubt(card: Card) -> str:
    """Say that masks of black and white have one class only: white, 255, is void."""
    if card.dataset.layout != "masks" or card.dataset.mask_values:
        return ""
    masks = [entry.label for entry in entries(card) if isinstance(entry.label, Path)]
    if values(masks) != [0, VOID]:
        return ""
    return (
        f"{card.path}: the masks hold nothing but 0 and 255, and 255 is void: if white is class 1, "
        "say [dataset] mask_values = [0, 255]"
    )


def _folder(card: Card, name: str) -> Path:
    root, split = card.dataset.dir, card.dataset.split
    tried = [root / split / name, root / name / split] if split else [root / name]
    for folder in tried:
        if folder.is_dir():
            return folder
    raise CardError(f"{card.path}: there is no folder {' nor '.join(map(str, tried))}")


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in {*SUFFIXES, ".gif"})


def _mask_of(image: Path, known: dict[str, Path]) -> Path | None:
    return next((known[image.stem + end] for end in _ENDINGS if image.stem + end in known), None)
