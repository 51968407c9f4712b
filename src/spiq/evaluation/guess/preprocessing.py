"""Mean and std, and how pictures get their size, as a card says them.

A convention turns pixels p of 0 to 255 into numbers from low to high, (p - mean) / std:

    std = 255 / (high - low)        mean = -low std

ImageNet's are known channel by channel. How pictures get the input's size is custom: the centre of
one whose shorter side is 8/7 of the input (256 for 224) for classification, as torchvision's
references do; all of it at the same aspect for detection; stretched for segmentation and for small
inputs, or where pictures have the input's size as they are.
"""

from typing import Any

from spiq.evaluation.guess.values import Folder, Network, Size
from spiq.stats.conventions import Convention

_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""ImageNet's, of pixels from 0 to 255."""

_GREY_MEAN, _GREY_STD = 117.2, 57.6
"""What they are for one channel, by its usual weights."""

_SMALL = 64
"""Sides of inputs that pictures are stretched to."""

Values = dict[str, Any]


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


def said(spec: Values, network: Network) -> str:
    """The values in words."""
    for way in network.conventions:
        if values(way, network.channels).items() <= spec.items():
            alone = len(network.conventions) == 1
            return f"{way.name}, " + ("by what is in the file" if alone else "the best of several")
    return "as given"


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
