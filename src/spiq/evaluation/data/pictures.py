"""Image files as arrays in the size of the network's input.

A picture is scaled to (width, height) and put with its corner at (left, top) on a canvas of the
input's size W x H; w0 x h0 is its own size:

    exact        width, height = W, H                            left = top = 0
    shorter      shorter side = resize_to, aspect kept           left = round((W - width) / 2)
    letterbox    r = min(W / w0, H / h0); round(w0 r, h0 r)      left = round((W - width) / 2 - 0.1)

Pixel x of the picture is x width / w0 + left of the input, so boxes and masks go the same way.
"shorter" is Resize and CenterCrop of torchvision, "letterbox" that of Ultralytics; Pillow
interpolates, with antialiasing where it makes pictures smaller. Masks take the nearest pixel, and
void where there is no picture.

Cameras store pictures lying, and say in EXIF how they are to be shown. Whoever draws masks or boxes
sees them upright, and Ultralytics reads them so; torchvision's ImageFolder does not look at that.
So pictures with a class are as they are stored; those of YOLO sets and without labels are upright;
with a mask, or boxes of a picture whose size is told, they are as that size has it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spiq.evaluation.cards.read import CHANNELS, Card
from spiq.evaluation.cards.sections import Input, Preprocess
from spiq.evaluation.data import masks
from spiq.evaluation.data.entry import Entry
from spiq.evaluation.data.masks import VOID
from spiq.io.images import open_picture, pillow, upright

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]

TRAIN_IDS = {
    **{7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12},
    **{26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18},
}
"""The classes of Cityscapes by their label; every other label is void."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a picture comes to lie on the network's input, in pixels."""

    width: int
    height: int
    left: int
    top: int


def place(size: tuple[int, int], spec: Preprocess, target: Input) -> Placement:
    """Where a picture of ``size`` (width, height) comes to lie."""
    across, down = size
    if spec.resize == "shorter" and spec.resize_to is not None:
        shorter = min(size)
        width, height = (int(spec.resize_to * side / shorter) for side in size)
        left, top = round((target.width - width) / 2), round((target.height - height) / 2)
    elif spec.resize == "letterbox":
        ratio = min(target.width / across, target.height / down)
        width, height = max(1, round(across * ratio)), max(1, round(down * ratio))
        left = round((target.width - width) / 2 - 0.1)
        top = round((target.height - height) / 2 - 0.1)
    else:
        width, height, left, top = target.width, target.height, 0, 0
    return Placement(width=width, height=height, left=left, top=top)


def load(entry: Entry, card: Card) -> tuple[Pixels, int | Pixels | None]:
    """Read the picture, (height, width, channels), and its class or its mask, (height, width).

    A picture without a label has None.

    Raises:
        DecodingError: A file cannot be decoded.
        ConfigError: Pillow is not installed.
    """
    color = len(CHANNELS[card.input.channels]) == 3
    picture = open_picture(entry.image, "RGB" if color else "L")
    stored = _mask(entry.label, card) if isinstance(entry.label, Path) else None
    if entry.label is None or stored is not None:
        picture = turned(picture, None if stored is None else stored.size)
    placement = place(picture.size, card.preprocess, card.input)
    target = (card.input.width, card.input.height)
    interpolation, fill = card.preprocess.interpolation, card.preprocess.pad_value
    pixels = put(picture, placement, target, interpolation=interpolation, fill=fill)
    pixels = pixels.reshape(card.input.height, card.input.width, -1)
    if stored is None or not isinstance(entry.label, Path):
        return pixels, entry.label  # type: ignore[return-value]  # no Path without a mask
    masks.check_size(entry.label, stored.size, picture.size)
    labels = put(stored, placement, target, interpolation="nearest", fill=VOID)
    return pixels, _TRAIN_ID[labels] if entry.label.stem.endswith("_labelIds") else labels


def turned(picture: "Image.Image", size: tuple[int, int] | None) -> "Image.Image":
    """Return a picture upright, as its file says; where its labels tell a size, so that it fits.

    Of two ways that both fit, as in a square, it is the upright one.
    """
    shown = upright(picture)
    return picture if size not in (None, shown.size) and size == picture.size else shown


def _mask(path: Path, card: Card) -> "Image.Image":
    """Return a mask whose pixels are classes."""
    values = masks.decoded(path)
    if card.dataset.mask_values:
        values = masks.as_classes(values, card.dataset.mask_values)
    mask: Image.Image = pillow().fromarray(values)
    return mask


def put(
    picture: "Image.Image",
    placement: Placement,
    target: tuple[int, int],
    *,
    interpolation: str,
    fill: int,
) -> Pixels:
    """Scale ``picture`` and put it on a canvas of size ``target``, filled with ``fill``."""
    image = pillow()
    scaled_to = (placement.width, placement.height)
    if picture.size != scaled_to:
        picture = picture.resize(scaled_to, image.Resampling[interpolation.upper()])
    if scaled_to == target and not (placement.left or placement.top):
        return np.asarray(picture)
    flat = image.fromarray(np.asarray(picture))  # without the palette, which would match colours
    color = (fill,) * len(flat.getbands())
    canvas = image.new(flat.mode, target, color if len(color) > 1 else fill)
    canvas.paste(flat, (placement.left, placement.top))
    return np.asarray(canvas)


_TRAIN_ID = np.full(256, VOID, np.uint8)
_TRAIN_ID[list(TRAIN_IDS)] = list(TRAIN_IDS.values())
