"""A new user's own data evaluate with one `card init` and no edit."""

import json
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
from running import Capture, content, refused

from spiq.cli import main
from spiq.evaluation.guess import trial
from spiq.evaluation.guess.preprocessing import Way

Image = pytest.importorskip("PIL.Image")

COLOURS = {"a-red": (220, 30, 30), "b-green": (30, 220, 30), "c-blue": (30, 30, 220)}

CLASSIFIER = """
    <ir_version: 8, opset_import: ["" : 17]>
    tiny (float[N,3,{side},{side}] input) => (float[N,3] logits)
    <float[3,3,1,1] weight = {{4, 0, 0, 0, 4, 0, 0, 0, 4}}> {{
        scaled = Conv (input, weight)
        pooled = GlobalAveragePool (scaled)
        logits = Flatten <axis = 1> (pooled)
    }}
"""

SEGMENTER = """
    <ir_version: 8, opset_import: ["" : 17]>
    tiny (float[N,3,16,16] input) => (float[N,2,16,16] logits)
    <float[2,3,1,1] weight = {{0, 4, 4, 4, 0, 0}}> {{ logits = Conv (input, weight) }}
"""

ONE_CHANNEL = """
    <ir_version: 8, opset_import: ["" : 17]>
    tiny (float[N,3,16,16] input) => (float[N,1,16,16] shares)
    <float[1,3,1,1] weight = {{9, -9, -9}}> {{
        logits = Conv (input, weight)
        shares = Sigmoid (logits)
    }}
"""

DETECTOR = """
    <ir_version: 8, opset_import: ["" : 17]>
    tiny (float[1,3,32,32] input) => (float[1,6,8] boxes)
    <float[1,6,8] given, float[1,3,1,1] weight = {{0, 0, 0}}> {{
        black = Conv (input, weight)
        none = ReduceMean <axes = [1, 2, 3], keepdims = 0> (black)
        boxes = Add (given, none)
    }}
"""


def network(text: str, *, side: int = 16, names: str = "") -> str:
    model = onnx.parser.parse_model(text.format(side=side))
    if names:
        model.metadata_props.add(key="names", value=names)
    onnx.save(model, "model.onnx")
    return "model.onnx"


def detector(names: str = "") -> str:
    """A network that finds one box of class 1: the middle of the picture."""
    rows = np.zeros((1, 6, 8), np.float32)
    rows[0, :, 0] = [16, 16, 16, 16, 0, 0.9]
    model = onnx.parser.parse_model(DETECTOR.format().replace("float[1,6,8] given, ", ""))
    model.graph.initializer.append(onnx.numpy_helper.from_array(rows, "given"))
    if names:
        model.metadata_props.add(key="names", value=names)
    onnx.save(model, "model.onnx")
    return "model.onnx"


def picture(path: str, colour=(200, 60, 60), size=(16, 16), mode="RGB") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def evaluated(capsys: Capture, *arguments: str, data: str = "data") -> tuple[dict, str]:
    """Write a card, and evaluate with it as it is: what is found, and what was said of the card."""
    assert main(["card", "init", "model.onnx", data, "-o", "card.toml", *arguments]) == 0
    said = capsys.readouterr().err
    assert main(["card", "check", "card.toml", "--model=model.onnx"]) == 0
    capsys.readouterr()
    assert main(["eval", "model.onnx", "--card=card.toml", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["models"][0], said


def class_folders(root: str, times: int = 3) -> None:
    for name, colour in COLOURS.items():
        for number in range(times):
            picture(f"{root}/{name}/{number}.png", colour, (20 + number, 18))


def test_image_folder(capsys: Capture) -> None:
    network(CLASSIFIER)
    class_folders("data")
    found, said = evaluated(capsys)
    assert found["top1"]["value"] == 100
    assert "spiq: task: classification, since the network answers [3]\n" in said
    assert "spiq: data: layout imagenet, since data has 3 class folders\n" in said
    assert "spiq: input: 16x16, as the network fixes it\n" in said
    assert said.count("warning") == 1
    assert "the images do not tell apart pixels normalized by ImageNet's mean and std" in said


def test_image_folder_with_parts(capsys: Capture) -> None:
    network(CLASSIFIER)
    class_folders("data/train")
    class_folders("data/test", times=1)
    assert evaluated(capsys)[0]["top1"]["value"] == 100
    assert tomllib.loads(Path("card.toml").read_text())["dataset"]["split"] == "test"
    Path("card.toml").unlink()
    evaluated(capsys, "--split=train")
    assert tomllib.loads(Path("card.toml").read_text())["dataset"]["split"] == "train"


def test_a_list_of_all_classes_is_found(capsys: Capture) -> None:
    network(CLASSIFIER)
    class_folders("data")
    Path("data/classes.txt").write_text("b-green\na-red\nc-blue\n")
    found, said = evaluated(capsys)
    assert "class_list = classes.txt" in said
    assert found["top1"]["value"] < 50  # as the list says: the order is another one


def test_fewer_folders_than_classes_are_a_warning(capsys: Capture) -> None:
    network(CLASSIFIER)
    picture("data/b-green/1.png")
    picture("data/c-blue/1.png")
    assert main(["card", "init", "model.onnx", "data"]) == 0
    assert "has 2 classes, but the network 3: say which is which" in capsys.readouterr().err


def test_folders_go_by_the_names_in_the_network(capsys: Capture) -> None:
    network(CLASSIFIER, names="{0: 'rot', 1: 'gruen', 2: 'blau'}")
    for name, colour in zip(("rot", "gruen", "blau"), COLOURS.values(), strict=True):
        picture(f"data/{name}/1.png", colour)
    found, said = evaluated(capsys)
    assert found["top1"]["value"] == 100
    assert "3 classes, named by the network's file" in said


def test_table(capsys: Capture) -> None:
    network(CLASSIFIER)
    class_folders("data/pictures")
    rows = [f"{path.relative_to('data')},{path.parent.name}" for path in Path().rglob("*.png")]
    Path("data/labels.csv").write_text("\n".join(["path,label", *rows]))
    assert evaluated(capsys)[0]["top1"]["value"] == 100
    Path("card.toml").unlink()
    assert evaluated(capsys, data="data/labels.csv")[0]["top1"]["value"] == 100


def masked(root: str, masks: str, white: int) -> None:
    for number in range(3):
        picture(f"{root}/{number}.jpg", (30, 200, 200) if number else (220, 20, 20))
        picture(f"{masks}/{number}.png", 0 if number else white, mode="L")


@pytest.mark.parametrize("text", [SEGMENTER, ONE_CHANNEL])
@pytest.mark.parametrize("white", [1, 255])
def test_folder_of_masks(text: str, white: int, capsys: Capture) -> None:
    network(text)
    masked("data/images", "data/masks", white)
    found, said = evaluated(capsys)
    assert found["miou"]["value"] == 100
    assert [one["counted"] for one in found["classes"]] == [True, True]
    assert "task: segmentation" in said


def test_masks_in_parts(capsys: Capture) -> None:
    network(SEGMENTER)
    masked("data/train/images", "data/train/labels", 1)
    masked("data/val/images", "data/val/labels", 1)
    assert evaluated(capsys)[0]["miou"]["value"] == 100
    assert tomllib.loads(Path("card.toml").read_text())["dataset"] == {
        "dir": "data", "layout": "masks", "split": "val", "labels": "labels"
    }  # fmt: skip


def boxes(root: str = "data") -> None:
    picture(f"{root}/images/val/1.jpg", size=(64, 64))
    Path(f"{root}/labels/val").mkdir(parents=True)
    Path(f"{root}/labels/val/1.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    Path(f"{root}/data.yaml").write_text("path: .\nval: images/val\nnames: [cat, dog]\n")


@pytest.mark.parametrize("data", ["data", "data/data.yaml"])
def test_yolo_set(data: str, capsys: Capture) -> None:
    pytest.importorskip("pycocotools")
    detector("{0: 'cat', 1: 'dog'}")
    boxes()
    found, said = evaluated(capsys, data=data)
    assert found["mAP50"]["value"] == pytest.approx(1)
    assert "outputs: yolov8, 2 classes, named by the network's file" in said


def test_coco_set(capsys: Capture) -> None:
    pytest.importorskip("pycocotools")
    detector()
    picture("data/val2017/1.jpg", size=(64, 64))
    stored = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 7, "bbox": [16, 16, 32, 32]}],
    }
    Path("data/annotations").mkdir()
    Path("data/annotations/instances_val2017.json").write_text(json.dumps(stored))
    assert evaluated(capsys)[0]["mAP50"]["value"] == pytest.approx(1)


def test_voc(capsys: Capture) -> None:
    network(SEGMENTER)
    masked("data/JPEGImages", "data/SegmentationClass", 1)
    Path("data/ImageSets/Segmentation").mkdir(parents=True)
    Path("data/ImageSets/Segmentation/val.txt").write_text("0\n1\n")
    found, said = evaluated(capsys)
    assert (found["miou"]["value"], found["classes"][1]["name"]) == (100, "aeroplane")
    assert "layout voc, split = val" in said


def test_cityscapes(capsys: Capture) -> None:
    network(SEGMENTER)
    for number, colour in enumerate([(30, 200, 200), (220, 20, 20)]):
        name = f"val/bonn/{number}_"
        picture(f"data/leftImg8bit/{name}leftImg8bit.png", colour)
        picture(f"data/gtFine/{name}gtFine_labelTrainIds.png", number, mode="L")
    found, _ = evaluated(capsys)
    assert (found["miou"]["value"], found["classes"][0]["name"]) == (100, "road")


def test_arrays(capsys: Capture) -> None:
    network(CLASSIFIER)
    Path("data").mkdir()
    images = np.stack([np.full((16, 16, 3), colour, np.uint8) for colour in COLOURS.values()])
    np.savez("data/part.npz", images=images, labels=np.arange(3))
    assert evaluated(capsys)[0]["top1"]["value"] == 100


def test_arrays_whose_labels_are_in_a_file_of_their_own(capsys: Capture) -> None:
    network(SEGMENTER)
    Path("data").mkdir()
    images = np.zeros((2, 16, 16, 3), np.uint8)
    images[0, ..., 1], images[1, ..., 0] = 200, 200
    np.savez("data/images_0.npz", images=images[:1])
    np.savez("data/images_1.npz", images=images[1:])
    np.savez("data/labels.npz", labels=np.arange(2)[:, None, None] * np.ones((2, 16, 16), np.uint8))
    found, said = evaluated(capsys)
    assert found["miou"]["value"] == 100 and "labels = labels.npz" in said


@pytest.mark.parametrize("data", ["data", "data/1.png"])
def test_pictures(data: str, capsys: Capture) -> None:
    network(CLASSIFIER)
    picture("data/1.png")
    assert main(["card", "init", "model.onnx", data, "-o", "card.toml"]) == 0
    capsys.readouterr()
    assert main(["eval", "model.onnx", "model.onnx", "--card=card.toml"]) == 0
    assert "the pictures have no labels" in capsys.readouterr().err


def test_an_open_size_can_be_said(capsys: Capture) -> None:
    network(CLASSIFIER.replace("{side},{side}", "H,W"))
    class_folders("data")
    found, said = evaluated(capsys, "--input-size=48")
    assert found["top1"]["value"] == 100
    assert "input: 48x48, the network leaves it open" in said


def test_data_elsewhere_are_allowed_by_whoever_names_them(
    capsys: Capture, tmp_path_factory: pytest.TempPathFactory
) -> None:
    network(CLASSIFIER)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "pets"
    class_folders(str(elsewhere))
    assert evaluated(capsys, data=str(elsewhere))[0]["top1"]["value"] == 100
    assert "outside = true" in Path("card.toml").read_text()


def test_without_a_file_the_card_is_printed(capsys: Capture) -> None:
    network(CLASSIFIER)
    class_folders("data")
    before = content()
    assert main(["card", "init", "model.onnx", "data"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["task"] == "classification"
    assert content() == before


BRIGHTNESS = """
    <ir_version: 8, opset_import: ["" : 17]>
    tiny (float[N,3,8,8] input) => (float[N,2] logits)
    <float[2,3,1,1] weight = {{1, 1, 1, -1, -1, -1}}> {{
        sign = Conv (input, weight)
        pooled = GlobalAveragePool (sign)
        logits = Flatten <axis = 1> (pooled)
    }}
"""

BLUE_FIRST = """
    <ir_version: 8, opset_import: ["" : 17]>
    tiny (float[N,3,8,8] input) => (float[N,2] logits)
    <float[2,3,1,1] weight = {{1, 0, 0, 0, 0, 1}}> {{
        ends = Conv (input, weight)
        pooled = GlobalAveragePool (ends)
        logits = Flatten <axis = 1> (pooled)
    }}
"""


def pictures_of(classes: dict[str, tuple[int, int, int]], times: int) -> None:
    for name, colour in classes.items():
        for number in range(times):
            picture(f"data/{name}/{number}.png", colour)


def test_the_preprocessing_is_tried_where_the_file_leaves_it_open(capsys: Capture) -> None:
    """Darker than the middle is class 1: pixels from 0 up never are."""
    network(BRIGHTNESS)
    pictures_of({"bright": (200,) * 3, "dark": (40,) * 3}, 8)
    found, said = evaluated(capsys)
    assert found["top1"]["value"] == 100
    assert "tried on 16 images" in said
    assert "pixels from 0 to 255: 50.0 %" in said


def test_the_order_of_channels_is_tried(capsys: Capture) -> None:
    network(BLUE_FIRST)
    pictures_of({"blue": (20, 20, 200), "red": (200, 20, 20)}, 8)
    found, said = evaluated(capsys)
    assert found["top1"]["value"] == 100
    assert 'channels = "BGR"' in Path("card.toml").read_text("utf-8")
    assert "pixels normalized by ImageNet's mean and std, BGR: 100.0 %" in said


def test_what_the_images_do_not_tell_is_not_decided(capsys: Capture) -> None:
    """Four of each are too few to say that the one half that is right is no chance."""
    network(BLUE_FIRST)
    pictures_of({"blue": (20, 20, 200), "red": (200, 20, 20)}, 3)
    found, said = evaluated(capsys)
    assert "the images do not tell apart" in said
    assert 'channels = "RGB"' in Path("card.toml").read_text("utf-8")
    assert found["top1"]["value"] == 0


def test_a_way_that_fails_is_left_out(capsys: Capture) -> None:
    """Numbers as large as bytes overflow behind the exponential."""
    network(BRIGHTNESS.replace("sign = Conv (input,", "large = Exp (input) sign = Conv (large,"))
    pictures_of({"bright": (200,) * 3, "dark": (40,) * 3}, 8)
    _, said = evaluated(capsys)
    assert "pixels from 0 to 1: " in said
    assert "pixels from 0 to 255: " not in said


def test_ways_take_nothing_from_the_likeliest_one(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brighter than 100 is class 0: so no pixel is that is divided by 255."""
    biased = BRIGHTNESS.replace("1, -1, -1, -1}}>", "1, -1, -1, -1}}, float[2] b = {{-300, 300}}>")
    network(biased.replace("(input, weight)", "(input, weight, b)"))
    pictures_of({"bright": (200,) * 3, "dark": (40,) * 3}, 8)
    plain = {"channels": "RGB", "mean": [0.0] * 3, "std": [1.0] * 3}
    given = [Way("divided", plain | {"divide_after": 255.0}), Way("plain", plain)]
    monkeypatch.setattr(trial, "ways", lambda *_: given)
    _, said = evaluated(capsys)
    assert "divided: 50.0 %; plain: 100.0 %" in said


def test_images_of_which_none_can_be_decoded_tell_nothing(capsys: Capture) -> None:
    network(BRIGHTNESS)
    pictures_of({"bright": (200,) * 3, "dark": (40,) * 3}, 8)
    for path in Path("data").glob("*/*.png"):
        path.write_bytes(path.read_bytes()[:40])
    assert main(["card", "init", "model.onnx", "data", "-o", "card.toml"]) == 0
    assert "tried on" not in capsys.readouterr().err


def test_images_from_all_over_are_tried(capsys: Capture) -> None:
    """A film whose first 300 frames are black: nothing of them says which way is right."""
    network(BRIGHTNESS)
    rows = []
    for number in range(600):
        bright = number % 2 == 0 and number >= 300
        picture(f"data/{number:03}.png", (200 if bright else 30,) * 3)
        rows.append(f"{number:03}.png,{0 if bright else 1}")
    Path("data/labels.csv").write_text("path,label\n" + "\n".join(rows))
    found, said = evaluated(capsys)
    assert found["top1"]["value"] == 100
    assert "pixels from 0 to 255: 2" in said or "pixels from 0 to 255: 1" in said


def test_half_precision(capsys: Capture) -> None:
    """Pixels that are halves in and out, as converters write them."""
    network(CLASSIFIER)
    whole = onnx.load("model.onnx")
    graph, given, answer = whole.graph, whole.graph.input[0], whole.graph.output[0]
    for node in graph.node:
        node.input[:] = ["wide" if name == given.name else name for name in node.input]
        node.output[:] = ["narrow" if name == answer.name else name for name in node.output]
    first = onnx.helper.make_node("Cast", [given.name], ["wide"], to=onnx.TensorProto.FLOAT)
    last = onnx.helper.make_node("Cast", ["narrow"], [answer.name], to=onnx.TensorProto.FLOAT16)
    graph.node.insert(0, first)
    graph.node.append(last)
    for value in (given, answer):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(whole, "model.onnx")
    class_folders("data")
    found, _ = evaluated(capsys)
    assert found["top1"]["value"] == 100


def test_a_table_with_semicolons_and_no_head(capsys: Capture) -> None:
    network(CLASSIFIER)
    class_folders("data")
    rows = [
        f"{file.relative_to('data')};{file.parent.name}" for file in Path("data").rglob("*.png")
    ]
    Path("data/test.csv").write_text("\n".join(rows))
    found, said = evaluated(capsys)
    assert "layout csv, labels = test.csv" in said
    assert found["top1"]["value"] == 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data", "--task=detection"), "is for classification, but"),
        (("empty",), "no data set that is known"),
        (("none",), "there is no such folder"),
        (("data", "--split=dev"), "no data set that is known|no part 'dev'"),
        (("data/notes.md",), "this file is no data set"),
        ((), "give a network and its data"),
    ],
)
def test_says_what_cannot_be_guessed(
    arguments: tuple[str, ...], message: str, capsys: Capture
) -> None:
    import re

    network(CLASSIFIER)
    class_folders("data")
    Path("empty").mkdir()
    Path("data/notes.md").write_text("notes")
    assert re.search(message, refused(capsys, "card", "init", "model.onnx", *arguments))


def test_annotations_that_are_not_cocos_are_said(capsys: Capture) -> None:
    network(CLASSIFIER)
    picture("data/val/1.png", (9, 9, 9))
    Path("data/annotations").mkdir()
    Path("data/annotations/val.json").write_text("{}")
    assert "val.json: not in COCO's format" in refused(capsys, "card", "init", "model.onnx", "data")


def test_says_which_networks_cannot_be_guessed(capsys: Capture) -> None:
    class_folders("data")
    network(
        CLASSIFIER.replace("N,3,{side},{side}", "N,{side},{side},3").replace(
            "scaled = Conv (input,",
            "turned = Transpose <perm = [0, 3, 1, 2]> (input)\n scaled = Conv (turned,",
        )
    )
    assert "has its channels last" in refused(capsys, "card", "init", "model.onnx", "data")
    network("""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[1,3,8,8] input) => (float[1,1,4,4] a) <float[1,3,1,1] weight = {{1, 1, 1}}> {{
            a = Conv <strides = [2, 2]> (input, weight)
        }}
    """)
    boxes("boxes")
    assert "no head whose boxes can be read" in refused(
        capsys, "card", "init", "model.onnx", "boxes"
    )
