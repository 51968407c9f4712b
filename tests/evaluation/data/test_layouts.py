"""Layouts of what people bring: tables, parts, masks, YOLO's files, pictures without labels."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from image_cards import image_card

from spiq.errors import CardError
from spiq.evaluation import evaluate
from spiq.evaluation.check import check
from spiq.evaluation.data import datasets
from spiq.evaluation.task import task_of
from spiq.evaluation.tasks.detection import truth
from spiq.evaluation.view import write as write_pictures

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()


def card(layout, task="classification", dataset="", decode=""):
    return image_card(Path(), layout, task, dataset=dataset, decode=decode)


def picture(name, value=0, *, size=(4, 2), mode="RGB"):
    path = Path("data") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "1") else (value,) * 3).save(path)


def listed(card):
    return {sample.name: sample.label for sample in datasets.samples(card)}


def network(outputs="float[N,24] logits", body="logits = Flatten <axis = 1> (input)"):
    return onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N,3,2,4] input) => ({outputs}) {{ {body} }}
    """).SerializeToString()


# parts of an ImageFolder


def test_a_class_that_a_part_lacks_keeps_its_number():
    for name in ("train/ant/1.png", "train/bee/2.png", "train/cat/3.png", "val/cat/4.png"):
        picture(name)
    given = card("imagenet", dataset='split = "val"')
    assert listed(given) == {"4.png": 2}
    assert task_of(given).card.class_name(2) == "cat"


def test_parts_must_be_named():
    picture("train/ant/1.png")
    picture("val/ant/1.png")
    with pytest.raises(CardError, match=r"has the parts train, val: say with \[dataset\] split"):
        datasets.count(card("imagenet"))
    with pytest.raises(CardError, match="no folder 'test'"):
        datasets.count(card("imagenet", dataset='split = "test"'))


def test_folders_follow_the_names_of_the_card():
    picture("cat/1.png")
    picture("ant/2.png")
    given = card("imagenet", decode='class_names = ["cat", "bee", "ant"]')
    assert listed(given) == {"1.png": 0, "2.png": 2}


# tables


@pytest.mark.parametrize(
    "text",
    [
        "a.png,3\nsub/b.png,1\n",
        "path,label\na.png,3\nsub/b.png,1\n",
        "id;class;file\n0;3;a.png\n1;1;sub/b.png\n",
        "\ufefffile\tlabel\na.png\t3\n\nsub/b.png\t1\n",
    ],
)
def test_a_table_of_numbers(text):
    picture("a.png")
    picture("sub/b.png")
    Path("data/labels.csv").write_text(text)
    assert listed(card("csv")) == {"a.png": 3, "b.png": 1}


def test_a_table_of_names():
    picture("a.png")
    picture("b.png")
    Path("data/labels.csv").write_text("a.png,dog\nb.png,cat\n")
    assert listed(card("csv")) == {"a.png": 1, "b.png": 0}
    Path("data/classes.txt").write_text("dog\ncat\nemu\n")
    assert listed(card("csv", dataset='class_list = "classes.txt"')) == {"a.png": 0, "b.png": 1}
    assert "2 names of classes, but the network has 24" in task_of(card("csv")).doubt(np.zeros(24))
    assert task_of(card("csv")).doubt(np.zeros(2)) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the table is empty"),
        ("a.png\n", "has 1 cells: write path,label"),
        ("../../secret.png,1\n", "leads out of the data set's folder"),
    ],
)
def test_refuses_other_tables(text, message):
    Path("data/labels.csv").write_text(text)
    with pytest.raises(CardError, match=message):
        datasets.count(card("csv"))


def test_says_which_label_is_not_listed():
    Path("data/labels.csv").write_text("a.png,dog\n")
    Path("data/classes.txt").write_text("cat\n")
    with pytest.raises(CardError, match=r"label 'dog' of .*labels.csv is not in classes.txt"):
        datasets.count(card("csv", dataset='class_list = "classes.txt"'))


# masks


@pytest.mark.parametrize(
    ("images", "masks", "dataset"),
    [
        ("images", "masks", ""),
        ("val/images", "val/masks", 'split = "val"'),
        ("images/val", "masks/val", 'split = "val"'),
        ("img", "labels", 'images = "img"\nlabels = "labels"'),
    ],
)
def test_folders_of_masks(images, masks, dataset):
    picture(f"{images}/1.jpg")
    picture(f"{images}/2.jpg")
    picture(f"{masks}/1.png", 1, mode="L")
    picture(f"{masks}/2_mask.png", 255, mode="L")
    found = listed(card("masks", "segmentation", dataset))
    assert {name: set(mask.flat) for name, mask in found.items()} == {"1.jpg": {1}, "2.jpg": {255}}


@pytest.mark.parametrize("mode", ["L", "1"])
def test_black_and_white(mode):
    picture("images/1.png")
    picture("masks/1.png", 255, mode=mode)
    picture("images/2.png")
    picture("masks/2.png", 0, mode=mode)
    plain = card("masks", "segmentation")
    assert "say [dataset] mask_values = [0, 255]" in task_of(plain).doubt(None)
    told = card("masks", "segmentation", "mask_values = [0, 255]")
    assert task_of(told).doubt(None) == ""
    assert {int(mask[0, 0]) for mask in listed(told).values()} == {0, 1}


def test_says_what_has_no_mask():
    picture("images/1.png")
    with pytest.raises(CardError, match=r"there is no folder .*data/masks"):
        datasets.count(card("masks", "segmentation"))
    Path("data/masks").mkdir()
    with pytest.raises(CardError, match=r"1 of 1 pictures have no mask in .*, such as 1\.png"):
        datasets.count(card("masks", "segmentation"))


# YOLO


def yolo(names="[cat, dog]", val="images/val", text="1 0.5 0.5 0.5 1\n0 0 0 1 0 1 1\n"):
    picture("images/val/1.png", size=(8, 4))
    picture("images/val/2.png")
    Path("data/labels/val").mkdir(parents=True, exist_ok=True)
    Path("data/labels/val/1.txt").write_text(text)
    Path("data/data.yaml").write_text(f"path: .\nval: {val}\nnames: {names}\n")


@pytest.mark.parametrize("names", ["[cat, dog]", "{0: cat, 1: dog}"])
@pytest.mark.parametrize("val", ["images/val", "../images/val", "[images/val]", "val.txt"])
def test_yolo_files(names, val):
    yolo(names, val)
    Path("data/val.txt").write_text("./images/val/1.png\n./images/val/2.png\n")
    given = card("yolo", "detection", decode='kind = "yolov8"\nclasses = 2')
    first, second = truth.read(given)
    np.testing.assert_allclose(first.boxes, [[0.25, 0, 0.75, 1], [0, 0, 1, 1]])
    assert (list(first.labels), len(second.labels)) == ([1, 0], 0)
    assert task_of(given).card.decode.class_names == ("cat", "dog")
    (sample, _) = task_of(given).samples(None)[1]
    assert sample.label.scale == (1, 1)  # shares of the picture, since boxes are


def test_yolo_classes_go_by_name():
    yolo()
    names = 'kind = "yolov8"\nclass_names = ["emu", "dog", "cat"]'
    assert list(truth.read(card("yolo", "detection", decode=names))[0].labels) == [1, 2]
    other = card("yolo", "detection", decode='kind = "yolov8"\nclasses = 3')
    with pytest.raises(CardError, match="has 2 classes, but the network has 3"):
        truth.read(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "2 0.5 0.5 1 1\n"}, "is no box, class x y width height, of 2 classes"),
        ({"text": "cat 0.5 0.5 1 1\n"}, "is no box: class x y width height"),
        ({"text": "0 0.5 0.5\n"}, "is no box"),
        ({"names": "[]"}, "needs 'names'"),
        ({"names": "{1: cat, 2: dog}"}, "needs 'names'"),
        ({"val": "images/none"}, "'images/none' is not there; tried"),
        ({"val": "{}"}, "must be a folder of pictures"),
        ({"names": "[cat"}, "not a YAML file"),
    ],
)
def test_refuses_other_yolo_files(change, message):
    yolo(**change)
    given = card("yolo", "detection", decode='kind = "yolov8"\nclasses = 2')
    with pytest.raises(CardError, match=message):
        truth.read(given)


def test_yolo_files_stay_in_the_folder(tmp_path):
    yolo(val=str(tmp_path.parent))
    given = card("yolo", "detection", decode='kind = "yolov8"\nclasses = 2')
    with pytest.raises(CardError, match="leads out of the data set's folder: if you trust"):
        truth.read(given)


# COCO


def test_coco_names_and_reach():
    picture("pictures/1.png")
    stored = {
        "images": [{"id": 1, "file_name": "1.png"}],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 7, "bbox": [0, 0, 1, 1]}],
    }
    Path("data/boxes.json").write_text(json.dumps(stored))
    dataset = 'images = "pictures"\nannotations = "boxes.json"'
    given = card("coco", "detection", dataset, 'kind = "yolov8"\nclasses = 2')
    task = task_of(given)
    assert (task.card.class_name(0), list(truth.read(given)[0].labels)) == ("cat", [1])
    stored["images"][0]["file_name"] = "../../../secret.png"
    Path("data/boxes.json").write_text(json.dumps(stored))
    with pytest.raises(CardError, match="leads out of the data set's folder"):
        truth.read(given)


# pictures without labels


def test_pictures_without_labels_are_compared():
    for number in range(3):
        picture(f"{number}.png", 40 * number)
    other = network(body="flat = Flatten <axis = 1> (input)\n logits = Neg (flat)")
    card("pictures", decode="classes = 24")
    found = evaluate([network(), other], "card.toml")
    assert found.models[0].top1.value == 100
    assert found.models[1].comparison.snr_db["logits"] is not None
    assert "the pictures have no labels" in found.warnings[0]
    assert check("card.toml", model=network()).ok


def test_a_single_picture_is_drawn():
    picture("1.png", 10)
    picture("2.png", 20)
    given = card("pictures", "segmentation", 'images = "1.png"')
    same = network("float[N,3,2,4] logits", "logits = Identity (input)")
    assert evaluate([same, same], given).images == 1
    assert [file.name for file in write_pictures([same], given, "drawn")] == ["01-1.png"]


def test_pictures_without_boxes_are_compared():
    picture("1.png", 10)
    rows = np.zeros((1, 6, 2), np.float32)
    rows[0, :, 0] = [2, 1, 2, 2, 0.9, 0]
    rows[0, :, 1] = [1, 1, 2, 2, 0, 0.1]
    constant = onnx.helper.make_node(
        "Constant", [], ["boxes"], value=onnx.numpy_helper.from_array(rows)
    )
    graph = onnx.helper.make_graph(
        [constant],
        "tiny",
        [onnx.helper.make_tensor_value_info("input", 1, ["N", 3, 2, 4])],
        [onnx.helper.make_tensor_value_info("boxes", 1, [1, 6, 2])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=opset).SerializeToString()
    given = card("pictures", "detection", decode='kind = "yolov8"\nclasses = 2')
    score = evaluate([model, model], given).models[1]
    assert (score.boxes, score.mAP50.value) == (1, 1)
