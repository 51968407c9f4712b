"""Mean and std, and how pictures get their size, as a card says them.

A convention turns pixels p of 0 to 255 into numbers from low to high, (p - mean) / std:

    std = 255 / (high - low)        mean = -low std

ImageNet's are known channel by channel; networks that learned from pictures such as the user's
alone are often normalized by the mean and std of these. Whoever reads pictures with OpenCV has blue
first, with mean and std in that order. How pictures get the input's size is custom: the centre of
one whose shorter side is 8/7 of the input (256 for 224) for classification, as torchvision's
references do; all of it at the same aspect for detection; stretched for segmentation and for small
inputs, or where pictures have the input's size as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spiq.evaluation.guess.values import Folder, Size
from spiq.stats.inputs.conventions import Convention

_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""ImageNet's, of pixels from 0 to 255."""

_GREY_MEAN, _GREY_STD = 117.2, 57.6
"""What they are for one channel, by its usual weights."""

_SMALL = 64
"""Sides of inputs that pictures are stretched to."""

_IMAGENET = "ImageNet's mean and std"
"""In the names of conventions."""

Pixels = npt.NDArray[np.uint8]
Values = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """A way to hand pictures to a network.

    Attributes:
        name: What it is called.
        keys: The keys of [input] that say it.
    """

    name: str
    keys: Values


def ways(
    conventions: Sequence[Convention], channels: int, pictures: Sequence[Pixels] = ()
) -> list[Way]:
    """Return the ways that some conventions leave, the likeliest first.

    Behind them stand those by the mean and std of the pictures themselves, where there are some,
    and behind all of these the same with blue first.
    """
    found = [Way(one.name, values(one, channels)) for one in conventions]
    if pictures:
        found += [_by_their_own(way, pictures) for way in found if _IMAGENET in way.name]
    return [*found, *map(_blue_first, found)] if channels == 3 else found


def _by_their_own(way: Way, pictures: Sequence[Pixels]) -> Way:
    """Return a way with the mean and std of pictures in the place of ImageNet's."""
    rows = [picture.reshape(-1, picture.shape[-1]) for picture in pictures]
    mean = np.mean([one.mean(axis=0) for one in rows], axis=0)
    square = np.mean([np.square(one, dtype=np.float64).mean(axis=0) for one in rows], axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 1.0))
    keys = way.keys | {"mean": mean.round(2).tolist(), "std": std.round(2).tolist()}
    return Way(way.name.replace(_IMAGENET, "the pictures' own mean and std"), keys)


def _blue_first(way: Way) -> Way:
    turned = {key: way.keys[key][::-1] for key in ("mean", "std")}
    return Way(f"{way.name}, BGR", way.keys | turned | {"channels": "BGR"})


def values(way: Convention, channels: int) -> Values:
    """The keys of [input] that a convention means."""
    order: Values = {"channels": "RGB" if channels == 3 else "GRAY"}
    if "ImageNet" not in way.name:
        std = 255 / (way.high - way.low)
        return order | {"mean": _each(-way.low * std, channels), "std": _each(std, channels)}
    order["mean"] = list(_MEAN) if channels == 3 else [_GREY_MEAN]
    if "std" not in way.name:
        return order | {"std": _each(1.0, channels)}
    order["std"] = list(_STD) if channels == 3 else [_GREY_STD]
    return order | ({"divide_after": 255.0} if "divided" in way.name else {})


def resizing(task: str, size: Size, folder: Folder) -> Values:
    """The keys of [preprocess]."""
    if folder.layout == "npz":
        return {}
    shorter = min(size)
    if task == "detection":
        return {"resize": "letterbox"}
    if task == "segmentation" or folder.sizes == {size} or shorter <= _SMALL:
        return {"resize": "exact"}
    return {"resize": "shorter", "resize_to": round(shorter * 8 / 7)}


def _each(value: float, channels: int) -> list[float]:
    return [round(value, 4) + 0.0] * channels  # no -0.0
