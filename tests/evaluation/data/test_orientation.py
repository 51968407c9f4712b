"""Pictures that a camera stored lying: each task sees them as its usual loaders do."""

import json
from pathlib import Path

import numpy as np
import pytest
from image_cards import image_card

from spiq.evaluation.cards.read import Card
from spiq.evaluation.data import datasets
from spiq.evaluation.task import task_of
from spiq.io.images import open_picture, upright

Image = pytest.importorskip("PIL.Image")

SIZE = (16, 32)
"""Width and height of a picture that is shown upright."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lying(name: str) -> None:
    """Write a picture whose upper half is white when it is upright, stored turned by 90 degrees."""
    path = Path("data") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = Image.new("RGB", SIZE)
    shown.paste((255, 255, 255), (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    shown.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=100)


def mask(name: str, size: tuple[int, int]) -> None:
    path = Path("data") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size).save(path)


def card(
    layout: str, task: str = "classification", dataset: str = "", kind: str = "argmax"
) -> Card:
    decode = f'kind = "{kind}"\nclasses = 2'
    return image_card(Path(), layout, task, size=(16, 16), dataset=dataset, decode=decode)


def stands(layout: str, task: str = "classification", dataset: str = "", kind: str = "argmax"):
    """Return whether the only picture of a data set is fed upright."""
    (sample,) = task_of(card(layout, task, dataset=dataset, kind=kind)).samples(None)[1]
    assert sample.image is not None, sample.problem
    return sample.image[:8].mean() > 200 and sample.image[8:].mean() < 50


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_brought_upright(orientation: int, tmp_path: Path) -> None:
    ImageOps = pytest.importorskip("PIL.ImageOps")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save("a.png", exif=exif)
    expected = ImageOps.exif_transpose(Image.open("a.png"))
    found = upright(open_picture(Path("a.png"), "RGB"))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_classes_are_of_pictures_as_they_are_stored() -> None:
    lying("cat/a.jpg")
    lying("dog/b.jpg")
    for sample in datasets.samples(card("imagenet")):
        assert not sample.image[:8].mean() > 200


def test_without_labels_they_are_upright() -> None:
    lying("a.jpg")
    assert stands("pictures")


def test_yolo_boxes_are_of_upright_pictures() -> None:
    lying("images/val/a.jpg")
    Path("data/data.yaml").write_text("val: images/val\nnames: [cat, dog]\n")
    assert stands("yolo", "detection", kind="yolov8")


@pytest.mark.parametrize(("size", "expected"), [(SIZE, True), (SIZE[::-1], False)])
def test_masks_and_told_sizes_say_how_pictures_lie(size: tuple[int, int], expected: bool) -> None:
    lying("images/a.jpg")
    mask("masks/a.png", size)
    assert stands("masks", "segmentation") == expected

    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    Path("data/boxes.json").write_text(json.dumps(coco))
    keys = 'images = "images"\nannotations = "boxes.json"'
    assert stands("coco", "detection", keys, "yolov8") == expected
