"""Panels with masks and boxes over images, and sheets of panels.

Colours of classes differ in hue, by the golden angle, then in brightness; void is grey.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spiq.evaluation.cards.read import Card
from spiq.evaluation.tasks.detection.boxes import Detections
from spiq.evaluation.tasks.detection.task import SURE
from spiq.io.images import pillow

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

_WIDTH = 480
"""Of a panel; smaller images are enlarged."""

_COLUMNS = 4
"""At most; rows are then filled evenly."""

_GAP, _LINE = 8, 18
_BACKGROUNDS = ("background", "bg", "unlabeled", "unlabelled")
_VOID: Color = (128, 128, 128)
_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """A picture with a title and a note above it."""

    title: str
    note: str
    pixels: Pixels
    """(height, width, 3)."""
    classes: frozenset[int] = frozenset()
    """Classes that it shows, for the legend."""


def plain(title: str, note: str, image: Pixels) -> Panel:
    """The image, (height, width, 1 or 3), as it is."""
    return Panel(title=title, note=note, pixels=_enlarged(_rgb(image)))


def mask(
    title: str, note: str, image: Pixels, answer: npt.NDArray[np.integer], card: Card
) -> Panel:
    """The classes of ``answer``, (height, width), over the image; beyond the classes is void."""
    classes = card.decode.classes or 256
    colors = np.array([*(color(c) for c in range(classes)), _VOID], np.float32)
    weight = np.full(classes + 1, 0.65, np.float32)
    if card.decode.class_names and card.decode.class_names[0].lower() in _BACKGROUNDS:
        weight[0] = 0.0
    shown = np.minimum(answer.astype(np.intp), classes)
    share = weight[shown][..., np.newaxis]
    pixels = (1 - share) * _rgb(image) + share * colors[shown]
    found = frozenset(int(c) for c in np.unique(shown) if c < classes and weight[c])
    return Panel(title=title, note=note, pixels=_enlarged(pixels.astype(np.uint8)), classes=found)


def marked(title: str, note: str, image: Pixels, where: npt.NDArray[np.bool_]) -> Panel:
    """The image in pale grey, with the pixels ``where``, (height, width), in red."""
    grey = 0.4 * _rgb(image).mean(axis=-1, keepdims=True) + 0.6 * 255
    pixels = np.where(where[..., np.newaxis], np.array((214, 30, 30)), grey)
    return Panel(title=title, note=note, pixels=_enlarged(pixels.astype(np.uint8)))


def boxes(title: str, note: str, image: Pixels, found: Detections, card: Card) -> Panel:
    """The boxes of a score of at least ``SURE``, in pixels of the image, with class and score."""
    from PIL import ImageDraw

    base = pillow().fromarray(_enlarged(_rgb(image)))
    scale = base.width / image.shape[1]
    pen, font = ImageDraw.Draw(base), _font(12)
    sure = [i for i in range(len(found.labels)) if found.scores[i] >= SURE]

    for i in reversed(sure):  # the best ones last, so that they are on top
        label, score = int(found.labels[i]), float(found.scores[i])
        x1, y1, x2, y2 = (float(end) * scale for end in found.boxes[i])
        if x2 <= x1 or y2 <= y1:
            continue
        pen.rectangle((x1, y1, x2, y2), outline=color(label), width=2)
        text = card.class_name(label) + (f" {score:.2f}" if score < 1 else "")
        corner = (max(x1, 0), max(y1 - 14, 0))
        pen.rectangle(pen.textbbox(corner, text, font=font), fill=color(label))
        pen.text(corner, text, fill=_INK, font=font)

    count = f"{len(sure)} boxes"
    return Panel(title=title, note=f"{count}, {note}" if note else count, pixels=np.asarray(base))


def sheet(panels: Sequence[Panel], *, title: str, card: Card) -> "Image.Image":
    """Put panels side by side, with a legend of the classes that they show."""
    from PIL import ImageDraw

    height, width = panels[0].pixels.shape[:2]
    rows = -(-len(panels) // _COLUMNS)
    columns = -(-len(panels) // rows)
    across, down = width + _GAP, height + 2 * _LINE + _GAP
    total, head = columns * across + _GAP, 2 * _GAP + _LINE
    lines = _lines(_legend(panels, card), total - 2 * _GAP, _font(14))

    size = (total, head + rows * down + len(lines) * (_LINE + 4))
    canvas = pillow().new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((_GAP, _GAP), title, fill=_INK, font=_font(14))
    font = _font(14)
    for i, panel in enumerate(panels):
        left, top = _GAP + i % columns * across, head + i // columns * down
        pen.text((left, top), _cut(panel.title, width, font), fill=_INK, font=font)
        pen.text((left, top + _LINE), _cut(panel.note, width, font), fill=_FAINT, font=font)
        canvas.paste(pillow().fromarray(panel.pixels), (left, top + 2 * _LINE))
    _write_legend(pen, lines, head + rows * down)
    return canvas  # type: ignore[no-any-return]


def _write_legend(pen: Any, lines: Sequence[Sequence[tuple[int, str]]], top: int) -> None:
    font = _font(14)
    for row, entries in enumerate(lines):
        left, high = _GAP, top + row * (_LINE + 4)
        for c, text in entries:
            pen.rectangle((left, high + 2, left + 12, high + 14), fill=color(c))
            pen.text((left + 18, high), text, fill=_INK, font=font)
            left += _entry_width(text, font)


def color(label: int) -> Color:
    """The colour of a class."""
    hue = (0.61803398875 * label + 0.02) % 1
    value = (1.0, 0.75, 0.9)[label % 3]
    saturation = (0.85, 0.7, 0.55)[label // 3 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return (round(255 * red), round(255 * green), round(255 * blue))


def _legend(panels: Sequence[Panel], card: Card) -> list[tuple[int, str]]:
    shown = sorted(frozenset().union(*(panel.classes for panel in panels)))
    return [(c, card.class_name(c)) for c in shown]


def _lines(
    entries: Sequence[tuple[int, str]], width: int, font: Any
) -> list[list[tuple[int, str]]]:
    """Break the legend's entries into lines."""
    lines: list[list[tuple[int, str]]] = []
    left = width
    for c, text in entries:
        needed = _entry_width(text, font)
        if not lines or left + needed > width:
            lines.append([])
            left = 0
        lines[-1].append((c, text))
        left += needed
    return lines


def _entry_width(text: str, font: Any) -> int:
    return 36 + int(font.getlength(text))


def _cut(text: str, width: int, font: Any) -> str:
    """Drop the beginning of what is too long: the end tells networks apart."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength("..." + text) > width:
        text = text[1:]
    return "..." + text


def _rgb(image: Pixels) -> Pixels:
    return np.broadcast_to(image, (*image.shape[:2], 3))


def _enlarged(pixels: Pixels) -> Pixels:
    """Repeat pixels so that a panel is about as wide as it should be."""
    times = max(1, round(_WIDTH / pixels.shape[1]))
    return np.ascontiguousarray(pixels.repeat(times, axis=0).repeat(times, axis=1))


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
