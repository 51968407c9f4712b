import json

import numpy as np
import onnx
import pytest

from spiq.errors import ConfigError
from spiq.evaluation.cards.read import TASKS, read
from spiq.evaluation.cards.templates import template
from spiq.evaluation.check import check


def network(body: str, output: str) -> bytes:
    return onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N,3,2,2] input) => (float[{output}] output) {{ {body} }}
    """).SerializeToString()


LOGITS = network("output = Flatten <axis = 1> (input)", "N,12")
MASKS = network("output = Identity (input)", "N,3,2,2")
BOXES = network(
    """
        axes = Constant <value = int64[2] {2, 3}> ()
        pooled = ReduceMean <axes = [1, 2, 3], keepdims = 0> (input)
        one = Constant <value = int64[2] {1, 2}> ()
        column = Unsqueeze (pooled, one)
        rows = Constant <value = float[1,6,1] {1, 1, 2, 2, 0.9, 0.1}> ()
        zero = Constant <value = float {0.0}> ()
        nothing = Mul (column, zero)
        output = Add (nothing, rows)
    """,
    "N,6,1",
)


@pytest.fixture
def cards(make_card, tmp_path):
    """A card for each task."""

    def made(task, **sections):
        arrays = {"labels": np.array([[[0, 1], [2, 255]]] * 5)} if task == "segmentation" else {}
        if task == "detection":
            described = [{"id": i, "width": 4, "height": 4} for i in range(5)]
            box = {"image_id": 0, "category_id": 1, "bbox": [0, 0, 2, 2]}
            categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
            (tmp_path / "images").mkdir()
            (tmp_path / "images" / "boxes.json").write_text(
                json.dumps({"images": described, "annotations": [box], "categories": categories})
            )
            (tmp_path / "images" / "boxes.json").rename(tmp_path / "boxes.json")
            (tmp_path / "images").rmdir()
            sections = {
                "dataset": 'annotations = "../boxes.json"',
                "decode": 'kind = "yolov8"\nclasses = 2',
            } | sections
        return make_card((5,), task=task, arrays=arrays, **sections)

    return made


@pytest.mark.parametrize(
    ("task", "model", "labels", "answer"),
    [
        ("classification", LOGITS, "classes, ", "first image: class "),
        ("segmentation", MASKS, "class 0, class 1, class 2; 25.0 % void", "labelled pixels are"),
        ("detection", BOXES, "1 boxes of 1 classes", "1 boxes with a score of at least 0.3"),
    ],
)
def test_a_card_without_faults(cards, task, model, labels, answer):
    result = check(cards(task), model=model)
    found = {finding.step: finding.text for finding in result.findings}
    assert list(found) == ["card", "data set", "image", "labels", "model", "output"]
    assert result.ok and all(finding.ok for finding in result.findings)
    assert found["card"] == f"tiny, {task}"
    assert found["data set"].startswith("5 images, layout npz, in ")
    assert ": 2x2, values " in found["image"]
    assert labels in found["labels"]
    assert answer in found["output"]
    without = check(result.card)
    assert [finding.step for finding in without.findings] == list(found)[:4]


def fault(result):
    *fine, last = result.findings
    assert not result.ok and not last.ok
    assert all(finding.ok for finding in fine)
    return last.step, last.text


@pytest.mark.parametrize(
    ("sections", "model", "step", "words"),
    [
        ({"decode": "clases = 3"}, None, "card", "did you mean 'classes'"),
        ({"dataset": "n = 6"}, None, "data set", "n = 6, but"),
        ({"shape": (3, 3, 3)}, None, "image", "images are uint8 (5, 3, 3, 3)"),
        ({"decode": "classes = 2"}, None, "labels", "the network has 2 classes"),
        ({}, "absent.onnx", "model", "absent.onnx"),
        ({}, network("output = Identity (input)", "N,3,2,2").replace(b"tiny", b"tin"), "model", ""),
        ({"decode": "outputs = 10"}, LOGITS, "output", "12 logits, but"),
    ],
    ids=["key", "count", "size", "labels", "absent", "broken", "outputs"],
)
def test_the_step_that_fails_is_the_last(make_card, sections, model, step, words):
    found, text = fault(check(make_card((5,), **sections), model=model))
    assert (found, words in text) == (step, True)


def test_files_that_are_missing(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    root = tmp_path / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\n")
    blank = Image.fromarray(np.zeros((4, 4), np.uint8))
    for path in ("JPEGImages/a.jpg", "JPEGImages/b.jpg", "SegmentationClass/a.png"):
        blank.save(root / path)
    card = tmp_path / "card.toml"
    card.write_text(template("segmentation"))
    step, text = fault(check(card))
    assert step == "files"
    assert "1 of 4 files are missing, such as" in text and text.endswith("b.png")
    (root / "SegmentationClass" / "b.png").write_bytes(b"no picture")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("b\na\n")
    result = check(card)  # b.png is the first, and left out
    assert result.ok
    assert "b.png: cannot be decoded: no picture" in result.warnings[0]
    (root / "SegmentationClass" / "a.png").write_bytes(b"no picture")
    step, text = fault(check(card))
    assert step == "image" and text.endswith("no picture, and 1 more")
    blank.save(root / "SegmentationClass" / "a.png")
    blank.save(root / "SegmentationClass" / "b.png")
    result = check(card)
    assert result.ok
    assert {"files": "all 4 are there"}.items() <= {f.step: f.text for f in result.findings}.items()


def test_damaged_videos_are_listed(tmp_path):
    pytest.importorskip("av")
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes(b"no video")
    Image = pytest.importorskip("PIL.Image")
    Image.new("RGB", (8, 8)).save(tmp_path / "c.png")
    card = tmp_path / "card.toml"
    text = template("classification")
    start, end = text.index("[dataset]"), text.index("[input]")
    card.write_text(f"{text[:start]}[dataset]\ndir = '.'\nlayout = 'pictures'\n\n{text[end:]}")
    result = check(card)
    assert result.ok, result.findings
    assert [text.partition(":")[0] for text in result.warnings] == ["left out"] * 2
    assert "a.mp4" in result.warnings[0] and "b.mp4" in result.warnings[1]


@pytest.mark.parametrize("task", sorted(TASKS))
def test_templates_are_cards(task, tmp_path):
    for folder in ("imagenet/val", "VOC2012", "coco"):
        (tmp_path / folder).mkdir(parents=True)
    path = tmp_path / "card.toml"
    path.write_text(template(task))
    assert read(path).task == task


@pytest.mark.parametrize("task", sorted(TASKS))
def test_what_templates_leave_out_may_be_put_in(task, tmp_path):
    for folder in ("imagenet/val", "VOC2012", "coco"):
        (tmp_path / folder).mkdir(parents=True)
    lines = template(task).splitlines()
    path = tmp_path / "card.toml"
    path.write_text(
        "\n".join(
            line.removeprefix("# ") if " = " in line or line.startswith("# [") else line
            for line in lines
        )
    )
    assert read(path).task == task


def test_there_is_no_template_of_another_task():
    with pytest.raises(ConfigError, match="choose one of classification, detection, segment"):
        template("pose")


@pytest.mark.zoo
def test_every_card_of_the_zoo(zoo):
    for folder in sorted(zoo.glob("*/*/")):
        if folder.parent.name == "classification":
            result = check(folder / "zoo.toml", model=folder / "model.onnx")
            assert result.ok, result.findings[-1]
