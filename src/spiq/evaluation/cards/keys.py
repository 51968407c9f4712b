"""The keys of a card, and converters for their values: one value in, the checked one out.

A ValueError says what the value must be, to be read behind "it must be".
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Convert = Callable[[Any], Any]

RESIZE = ("exact", "shorter", "letterbox")
INTERPOLATIONS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")


def text(value: object) -> str:
    """Text, whose control characters could do anything to a terminal, other than end its lines."""
    if not isinstance(value, str):
        raise ValueError("text")
    if not value.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("text without control characters")
    return value


def line(value: object) -> str:
    """Text in one line."""
    if not text(value).isprintable():
        raise ValueError("text in one line")
    return str(value)


def flag(value: object) -> bool:
    """A boolean."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def count(value: object) -> int:
    """A whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("a whole number above 0")
    return value


def byte(value: object) -> int:
    """A whole number from 0 to 255."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 255:
        raise ValueError("a whole number from 0 to 255")
    return value


def number(value: object) -> float:
    """A number, as float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("a number")
    if not abs(value) < 1e300:  # also what is not a number, and integers beyond float
        raise ValueError("a finite number")
    return float(value)


def positive(value: object) -> float:
    """A number above 0, as float."""
    if (converted := number(value)) <= 0:
        raise ValueError("a number above 0")
    return converted


def one_of(*allowed: str) -> Convert:
    """Text that is one of ``allowed``."""

    def convert(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return str(value)

    return convert


def list_of(convert: Convert) -> Convert:
    """A list, each entry through ``convert``; a tuple comes out."""

    def convert_all(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError("a list")
        try:
            return tuple(convert(entry) for entry in value)
        except ValueError as error:
            raise ValueError(f"a list, each entry {error}") from error

    return convert_all


def count_or_text(value: object) -> int | str:
    """A whole number above 0, or text."""
    return text(value) if isinstance(value, str) else count(value)


def text_or(convert: Convert) -> Convert:
    """Text, or what ``convert`` takes."""

    def convert_any(value: object) -> Any:
        if isinstance(value, str):
            return text(value)
        try:
            return convert(value)
        except ValueError as error:
            raise ValueError(f"text or {error}") from error

    return convert_any


SECTIONS: Mapping[str, Mapping[str, Convert]] = {
    "dataset": {
        "dir": lambda value: Path(line(value)),
        "layout": one_of("npz", "imagenet", "voc", "cityscapes", "coco"),
        "n": count,
        "outside": flag,
        **dict.fromkeys(("name", "images", "labels", "annotations", "split", "class_list"), line),
    },
    "input": {
        "width": count,
        "height": count,
        "channels": one_of("RGB", "BGR", "GRAY"),
        "layout": one_of("NCHW"),
        "mean": list_of(number),
        "std": list_of(positive),
        "divide_after": positive,
    },
    "preprocess": {
        "steps": text,
        "resize": one_of(*RESIZE),
        "resize_to": count,
        "interpolation": one_of(*INTERPOLATIONS),
        "pad_value": byte,
    },
    "decode": {
        "outputs": count_or_text,
        "class_names": list_of(line),
        "ignore_labels": list_of(byte),
        "strides": list_of(count),
        "anchors": list_of(list_of(number)),
        "scale_x_y": list_of(number),
        "multi_label": flag,
        "score_threshold": number,
        "nms_iou": number,
        "priors": text_or(list_of(list_of(number))),
        "variances": list_of(positive),
        "background": flag,
        "activation": one_of("softmax", "sigmoid", "none"),
        **dict.fromkeys(("classes", "min_pixels", "max_detections"), count),
        **dict.fromkeys(("kind", "output", "layout", "metric"), text),
    },
    "source": dict.fromkeys(("repository", "commit", "path", "licence", "note"), text),
    "float32": {
        **dict.fromkeys(("top1", "top5", "mAP50", "mAP", "mIoU", "pixel_accuracy"), number),
        "images": count,
        "published": text,
    },
    "model": {"sha256": text, "bytes": count, "batchnorm_nodes": count},
}
"""The keys of every section, and what their values must be."""
