"""The labelled boxes of a data set.

    npz     [dataset] annotations: a COCO file; the i-th stored image is the i-th by id
    coco    the same, with the pictures in the folder ``images``
    voc     ImageSets/Main/SPLIT.txt names Annotations/ID.xml and JPEGImages/ID.jpg
    yolo    a data.yaml, see :mod:`spiq.evaluation.tasks.detection.yolo_files`
    pictures    image files without boxes

Boxes are in pixels of the original picture, whatever size the stored image has. COCO's category
ids become classes in the order of the ids, or by name where the card has ``class_names``. VOC's
pixels count from 1, and its last ones belong to the box: xmin - 1, ymin - 1, xmax, ymax.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from spiq.errors import CardError
from spiq.evaluation.cards import places
from spiq.evaluation.cards.sections import Card
from spiq.evaluation.data import folders
from spiq.evaluation.data.class_names import VOC_CLASSES
from spiq.evaluation.files import content, lines
from spiq.evaluation.tasks.detection import yolo_files
from spiq.evaluation.tasks.detection.labelled import Box, Truth, gathered
from spiq.evaluation.tasks.detection.settings import class_count
from spiq.io.video import Frame

_Entry = Mapping[str, Any]
"""An image, a box or a category, as COCO's files have it."""


def read(card: Card, *, limit: int | None = None) -> list[Truth]:
    """Read the boxes of the first ``limit`` (None: all) images; opens no image.

    Raises:
        CardError: The annotations cannot be read or are not as the card says.
    """
    everything = _LISTED.get(card.dataset.layout, _coco)(card)
    expected = len(everything) if card.dataset.n is None else card.dataset.n
    if len(everything) < expected or not everything:
        raise CardError(
            f"{card.path}: [dataset] n = {expected}, but the annotations in {card.dataset.dir} "
            f"are of {len(everything)} images"
        )
    return [describe() for describe in everything[:expected][:limit]]


def _coco(card: Card) -> list[Callable[[], Truth]]:
    if not card.dataset.annotations:
        raise CardError(f"{card.path}: [dataset] lacks 'annotations', a file in COCO's format")
    path = card.dataset.dir / card.dataset.annotations
    folder = card.dataset.dir / card.dataset.images if card.dataset.layout == "coco" else None
    images, boxes, labels = _coco_stored(path, card)

    def describe(image: _Entry) -> Truth:
        name = str(image.get("file_name", image["id"]))
        try:
            found = [_coco_box(box, labels) for box in boxes[image["id"]]]
            size = (int(image["width"]), int(image["height"])) if "width" in image else None
        except (KeyError, ValueError, TypeError) as error:
            raise CardError(f"{path}: image {name!r}: a wrong box or size: {error!r}") from error
        if folder is None and size is None:
            raise CardError(
                f"{path}: image {name!r} lacks width and height: boxes are in original pixels"
            )
        return gathered(
            name, None if folder is None else places.inside(card, folder, name), size, found
        )

    return [lambda image=image: describe(image) for image in images]  # type: ignore[misc]


def _coco_stored(
    path: Path, card: Card
) -> tuple[list[_Entry], dict[Any, list[_Entry]], dict[int, int]]:
    """Return the images of a file, the boxes of each by its number, and the label of a category."""
    try:
        stored = json.loads(content(path, "the annotations"))
        labels = _coco_labels(stored["categories"], card)
        boxes: dict[Any, list[_Entry]] = {image["id"]: [] for image in stored["images"]}
        for box in stored["annotations"]:
            if box["image_id"] in boxes:
                boxes[box["image_id"]].append(box)
        images = sorted(stored["images"], key=lambda image: int(image["id"]))
    except KeyError as error:
        raise CardError(f"{path}: not COCO annotations: they lack {error}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CardError(f"{path}: not COCO annotations: {error}") from error
    return images, boxes, labels


def _coco_labels(categories: Sequence[_Entry], card: Card) -> dict[int, int]:
    names = card.decode.class_names
    ordered = sorted(categories, key=lambda category: int(category["id"]))
    if names:
        known = {name: index for index, name in enumerate(names)}
        return {
            category["id"]: known[category["name"]]
            for category in ordered
            if category["name"] in known
        }
    if len(ordered) != class_count(card):
        raise CardError(
            f"{card.path}: {card.dataset.annotations} has {len(ordered)} categories, but the "
            f"network has {class_count(card)} classes: say with [decode] class_names which is which"
        )
    return {category["id"]: index for index, category in enumerate(ordered)}


def _coco_box(box: _Entry, labels: Mapping[int, int]) -> Box:
    x, y, width, height = map(float, box["bbox"])
    label = labels.get(box["category_id"])
    if label is None:
        raise ValueError(f"category {box['category_id']} is none of the card's classes")
    return Box(
        corners=(x, y, x + width, y + height), label=label, crowd=bool(box.get("iscrowd", 0))
    )


def _voc(card: Card) -> list[Callable[[], Truth]]:
    root = card.dataset.dir
    listed = root / "ImageSets" / "Main" / f"{card.dataset.split or 'val'}.txt"
    names = card.decode.class_names or VOC_CLASSES
    if len(names) != class_count(card):
        raise CardError(
            f"{card.path}: the network has {class_count(card)} classes, VOC {len(names)}: say "
            "with [decode] class_names which is which"
        )
    ids = [line.split()[0] for line in lines(listed, "the split")]
    known = {name: index for index, name in enumerate(names)}

    def describe(name: str) -> Truth:
        path = places.inside(card, root / "Annotations", f"{name}.xml")
        try:
            described = ElementTree.fromstring(content(path, "the annotations"))
            found = [_voc_box(entry, known) for entry in described.iter("object")]
        except (ElementTree.ParseError, ValueError) as error:
            raise CardError(f"{path}: not VOC annotations: {error}") from error
        return gathered(f"{name}.jpg", root / "JPEGImages" / f"{name}.jpg", None, found)

    return [lambda name=name: describe(name) for name in ids]  # type: ignore[misc]


def _voc_box(entry: ElementTree.Element, labels: Mapping[str, int]) -> Box:
    name = entry.findtext("name", "").strip()
    if name not in labels:
        raise ValueError(f"class {name!r} is none of the card's")
    x1, y1, x2, y2 = (
        float(entry.findtext(f"bndbox/{key}", "absent")) for key in ("xmin", "ymin", "xmax", "ymax")
    )
    difficult = entry.findtext("difficult", "0").strip() == "1"
    return Box(corners=(x1 - 1, y1 - 1, x2, y2), label=labels[name], difficult=difficult)


def categories(card: Card) -> tuple[str, ...]:
    """The names that the data set gives to the classes, in their order; (): none.

    Raises:
        CardError: The annotations cannot be read.
    """
    if card.dataset.layout == "voc":
        return VOC_CLASSES
    if card.dataset.layout == "yolo":
        return yolo_files.names(card)
    if not card.dataset.annotations:
        return ()
    path = card.dataset.dir / card.dataset.annotations
    try:
        found = json.loads(content(path, "the annotations"))["categories"]
        ordered = sorted(found, key=lambda category: int(category["id"]))
        return tuple(str(category["name"]) for category in ordered)
    except (KeyError, ValueError, TypeError, RecursionError):  # said where the boxes are read
        return ()


def _unlabelled(card: Card) -> list[Callable[[], Truth]]:
    found = [entry.image for entry in folders.entries(card)]
    return [
        lambda path=path: gathered(path.name, path, None, [])  # type: ignore[misc]
        for path in found
    ]


def files(card: Card) -> list[Path]:
    """The pictures of the card, or the videos that they are in; none where they are arrays.

    Raises:
        CardError: The annotations are not as the card says.
    """
    found = [entry.picture for entry in read(card) if entry.picture is not None]
    return list(dict.fromkeys(one.path if isinstance(one, Frame) else one for one in found))


_LISTED = {"voc": _voc, "yolo": yolo_files.listed, "pictures": _unlabelled}
