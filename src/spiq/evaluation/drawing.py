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
Box = tuple[float, float, float, float]
"""x1, y1, x2, y2."""

_WIDTH = 480
"""Of a panel; smaller images are enlarged."""

_COLUMNS = 4
"""At most; rows are then filled evenly."""

_GAP, _LINE, _TEXT = 8, 18, 15
_BACKGROUNDS = ("background", "bg", "unlabeled", "unlabelled")
_VOID: Color = (128, 128, 128)
_BAR: Color = (120, 160, 220)

KINDS: dict[str, tuple[Color, str]] = {
    "hit": ((30, 150, 60), ""),
    "false alarm": ((214, 60, 30), "+ "),
    "missed": ((40, 90, 220), "- "),
}
"""What a box is beside the labelled ones, its colour, and the sign in front of its text."""

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


def bars(title: str, note: str, image: Pixels, rows: Sequence[tuple[str, float]]) -> Panel:
    """Names and shares of 1, as bars, in the size of a panel of the image."""
    from PIL import ImageDraw

    height, width = _enlarged(image).shape[:2]
    base = pillow().new("RGB", (width, height), _PAPER)
    pen, font = ImageDraw.Draw(base), _font(14)
    for row, (name, share) in enumerate(rows):
        top = 4 + row * 2 * _LINE
        pen.rectangle((0, top + _LINE, max(1, share * width), top + 2 * _LINE - 4), fill=_BAR)
        pen.text((2, top), f"{100 * share:.1f} %  {name}", fill=_INK, font=font)
    return Panel(title=title, note=note, pixels=np.asarray(base))


def boxes(
    title: str,
    note: str,
    image: Pixels,
    found: Detections,
    card: Card,
    *,
    kinds: Sequence[str] | None = None,
) -> Panel:
    """The boxes of a score of at least ``SURE``, in pixels of the image, with class and score.

    Args:
        title: Above the panel.
        note: Below the title.
        image: (height, width, channels).
        found: The boxes, best first.
        card: Names their classes.
        kinds: What each box is, one of ``KINDS``, whose colour and sign it then has; None: colours
            are those of the classes, and the note counts the boxes.
    """
    base = pillow().fromarray(_enlarged(_rgb(image)))
    scale = base.width / image.shape[1]
    shown = []
    for i in map(int, np.flatnonzero(found.scores >= SURE)):
        label, score = int(found.labels[i]), float(found.scores[i])
        shade, sign = (color(label), "") if kinds is None else KINDS[kinds[i]]
        text = sign + card.class_name(label) + (f" {score:.2f}" if score < 1 else "")
        x1, y1, x2, y2 = (float(end) * scale for end in found.boxes[i])
        if x2 > x1 and y2 > y1:
            shown.append(_Label((x1, y1, x2, y2), text, shade))
    _draw(base, shown)
    if kinds is None:
        note = f"{len(shown)} boxes, {note}" if note else f"{len(shown)} boxes"
    return Panel(title=title, note=note, pixels=np.asarray(base))


@dataclass(frozen=True)
class _Label:
    """A box in pixels of a panel, with its text."""

    box: Box
    text: str
    shade: Color


def _draw(base: "Image.Image", labels: Sequence[_Label]) -> None:
    """Draw all boxes, then their texts, the first ones where they would be, others aside."""
    from PIL import ImageDraw

    pen, font = ImageDraw.Draw(base), _font(12)
    for label in reversed(labels):  # the best ones last, so that they are on top
        pen.rectangle(label.box, outline=label.shade, width=2)
    taken: list[Box] = []
    for label in labels:
        place = _free(label, font.getlength(label.text) + 4, base.size, taken)
        taken.append(place)
        pen.rectangle(place, fill=label.shade)
        ink = _INK if sum(label.shade) > 330 else _PAPER
        pen.text((place[0] + 2, place[1]), label.text, fill=ink, font=font)


def _free(label: _Label, width: float, size: tuple[int, int], taken: Sequence[Box]) -> Box:
    """Where a text goes: above its box, below or in it, or at its right, where nothing is yet."""
    x1, y1, x2, y2 = label.box
    corners = [(x1, y1 - _TEXT), (x1, y2), (x1, y1), (x2 - width, y2 - _TEXT), (x2, y1)]
    places = []
    for left, top in corners:
        left = min(max(left, 0), max(size[0] - width, 0))
        top = min(max(top, 0), size[1] - _TEXT)
        places.append((left, top, left + width, top + _TEXT))
    return next((one for one in places if not any(_meet(one, other) for other in taken)), places[0])


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


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
