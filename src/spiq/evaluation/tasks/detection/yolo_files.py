"""Boxes as Ultralytics and its kin keep them: a data.yaml and a text file for each picture.

    data.yaml     path: .                          the data set's folder, optional
                  train: images/train              a folder, a list of folders, or a text file that
                  val: images/val                  lists pictures, one per line
                  names: [cat, dog]                or {0: cat, 1: dog}

    .../images/val/1.jpg  has its boxes in  .../labels/val/1.txt, one per line:
    class x y width height                      the centre and the sides, in shares of the picture
    class x1 y1 x2 y2 x3 y3 ...                 or a polygon: the box around it counts

A picture without such a file has no boxes. https://docs.ultralytics.com/datasets/detect/
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spiq.errors import CardError, ConfigError
from spiq.evaluation.cards import places
from spiq.evaluation.cards.sections import Card
from spiq.evaluation.files import content, lines
from spiq.evaluation.tasks.detection.labelled import SHARES, Box, Truth, gathered
from spiq.evaluation.tasks.detection.settings import class_count
from spiq.io.images import SUFFIXES


def listed(card: Card) -> list[Callable[[], Truth]]:
    """The pictures of the card's part of the data set, each with what reads its boxes.

    Raises:
        CardError: A file or folder is missing, or classes are not the network's.
    """
    file = description(card)
    labels = _labels(names(card), card)
    pictures = [path for name in _parts(card, file) for path in _pictures(card, file, name)]
    if not pictures:
        raise CardError(
            f"{card.path}: {file} names no pictures for {card.dataset.split or 'val'!r}"
        )

    def describe(picture: Path) -> Truth:
        text = _text_file(picture)
        rows = lines(text, "the boxes") if text.is_file() else []
        found = [_box(row, labels, text) for row in rows]
        return gathered(picture.name, picture, SHARES, found)

    return [lambda picture=picture: describe(picture) for picture in pictures]  # type: ignore[misc]


def names(card: Card) -> tuple[str, ...]:
    """The names of the classes in data.yaml, in their order.

    Raises:
        CardError: It cannot be read or has none.
    """
    file = description(card)
    given = load(file).get("names")
    if isinstance(given, Mapping):
        given = [given[key] for key in sorted(given)] if _are_indices(given) else None
    if not isinstance(given, list) or not given:
        raise CardError(f"{file}: it needs 'names', a list of the classes' names")
    return tuple(map(str, given))


def description(card: Card) -> Path:
    """The file data.yaml of the card's data set, by whatever name.

    Raises:
        CardError: There is none, or more than one.
    """
    root = card.dataset.dir
    if card.dataset.annotations:
        return root / card.dataset.annotations
    found = sorted(path for path in root.iterdir() if path.suffix in (".yaml", ".yml"))
    usual = [path for path in found if path.stem == "data"]
    if len(found) == 1 or usual:
        return (usual or found)[0]
    raise CardError(
        f"{card.path}: {root} has {len(found)} YAML files: say with [dataset] annotations which "
        "one lists train, val and names"
    )


def load(file: Path) -> Mapping[str, Any]:
    """The content of a YAML file.

    Raises:
        CardError: It cannot be read, or is no mapping.
        ConfigError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise ConfigError("data.yaml needs PyYAML: pip install 'spiq[tasks]'") from error
    try:
        read = yaml.safe_load(content(file, "the data set"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CardError(f"{file}: not a YAML file: {error}") from error
    if not isinstance(read, Mapping):
        raise CardError(f"{file}: it needs keys such as train, val and names")
    return read


def _are_indices(given: Mapping[Any, Any]) -> bool:
    return sorted(map(str, given)) == sorted(map(str, range(len(given)))) and all(
        isinstance(key, int) for key in given
    )


def _labels(named: Sequence[str], card: Card) -> Sequence[int]:
    """The network's class of each class of the data set."""
    wanted = card.decode.class_names
    if wanted and set(named) <= set(wanted):
        return [wanted.index(name) for name in named]
    if len(named) != class_count(card):
        raise CardError(
            f"{card.path}: {card.dataset.dir} has {len(named)} classes, but the network has "
            f"{class_count(card)}: say with [decode] class_names which is which"
        )
    return range(len(named))


def _parts(card: Card, file: Path) -> list[str]:
    split = card.dataset.split or "val"
    told = load(file)
    given = told.get(split) or (told.get("valid") if split == "val" else None)
    parts = given if isinstance(given, list) else [given]
    named = [part for part in parts if isinstance(part, str)]
    if len(named) < len(parts):
        raise CardError(f"{file}: {split!r} must be a folder of pictures, or a list of them")
    return named


def _pictures(card: Card, file: Path, name: str) -> list[Path]:
    """The pictures of a folder, or those that a text file lists."""
    found = _place(card, file, name)
    if found.is_dir():
        return sorted(path for path in found.rglob("*") if path.suffix.lower() in SUFFIXES)
    if found.suffix != ".txt":
        raise CardError(f"{file}: {name!r} is neither a folder nor a list of pictures")
    return [_place(card, file, line, beside=found.parent) for line in lines(found, "the list")]


def _place(card: Card, file: Path, name: str, *, beside: Path | None = None) -> Path:
    """Where a name leads to: from ``path``, from the file, or with its leading .. left out."""
    inner = "/".join(part for part in name.split("/") if part not in ("..", "."))
    roots = [file.parent / str(load(file).get("path") or "."), beside or file.parent, file.parent]
    tried = [*(root / name for root in roots), file.parent / inner]
    there = [path for path in tried if path.exists()]
    if not there:
        raise CardError(
            f"{file}: {name!r} is not there; tried {', '.join(dict.fromkeys(map(str, tried)))}"
        )
    for path in there:
        if places.reaches(card, path):
            return path
    return places.inside(card, file.parent, str(there[0]))


def _text_file(picture: Path) -> Path:
    """The file of a picture's boxes: ``labels`` in the place of the last ``images``."""
    parts = list(picture.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _box(row: str, labels: Sequence[int], file: Path) -> Box:
    try:
        kind, *numbers = map(float, row.split())
    except ValueError as error:
        raise CardError(f"{file}: {row!r} is no box: class x y width height") from error
    if len(numbers) < 4 or len(numbers) % 2 or kind not in range(len(labels)):
        raise CardError(
            f"{file}: {row[:80]!r} is no box, class x y width height, of {len(labels)} classes"
        )
    if len(numbers) == 4:
        x, y, width, height = numbers
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    else:
        across, down = numbers[::2], numbers[1::2]
        corners = (min(across), min(down), max(across), max(down))
    return Box(corners=corners, label=labels[int(kind)])
