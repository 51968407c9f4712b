"""Data sets of image files, made here: which files, in which order, with which labels."""

import sys

import numpy as np
import onnx
import pytest
from image_cards import image_card

from spiq.cli import main
from spiq.errors import CardError, ConfigError
from spiq.evaluation import evaluate
from spiq.evaluation.cards.sections import Input, Preprocess
from spiq.evaluation.check import check
from spiq.evaluation.data import datasets, folders, pictures

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def make(tmp_path):
    """Write a card; its data set is in data/ beside it."""
    (tmp_path / "data").mkdir()

    def made(layout, **sections):
        task = "classification" if layout == "imagenet" else "segmentation"
        return image_card(tmp_path, layout, task, **sections)

    return made


@pytest.fixture
def picture(tmp_path):
    """Write a picture of one colour, or a mask, below data/; returns its pixels."""

    def made(name, value=0, *, size=(4, 2), mode="RGB"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.asarray(value, np.uint8)
        if pixels.ndim == 0:
            pixels = np.full((size[1], size[0], *([3] if mode == "RGB" else [])), value, np.uint8)
        image = Image.fromarray(pixels)
        if mode == "P":
            image = Image.fromarray(pixels).convert("P")
            image.putpalette(list(range(255, -1, -1)) * 3)
            image.frombytes(pixels.tobytes())
        image.save(path)
        return pixels

    return made


def labels(card, skipped=None, **options):
    """The labels of what can be decoded; ``skipped`` is extended by what is wrong with the rest."""
    found = list(datasets.samples(card, **options))
    if skipped is not None:
        skipped += [sample.problem for sample in found if sample.image is None]
    return [sample.label for sample in found if sample.image is not None]


def network():
    """A network that tells 24 classes apart."""
    return onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N,3,2,4] input) => (float[N,24] logits) {
            logits = Flatten <axis = 1> (input)
        }
    """).SerializeToString()


# imagenet


@pytest.fixture
def classes(picture):
    for name, value in [
        ("cat/b.png", 10),
        ("cat/a.JPEG", 20),
        ("cat/c.png", 30),
        ("ant/z.png", 40),
    ]:
        picture(name, value)
    picture("ant/y.png", 50)


def test_imagenet_takes_one_of_each_class_in_turn(make, classes, tmp_path):
    (tmp_path / "data" / "cat" / "notes.txt").write_text("no picture")
    card = make("imagenet")
    found = list(datasets.samples(card))
    assert [sample.name for sample in found] == ["y.png", "a.JPEG", "z.png", "b.png", "c.png"]
    assert [sample.label for sample in found] == [0, 1, 0, 1, 1]
    assert found[0].image.shape == (2, 4, 3)
    assert [int(sample.image[0, 0, 0]) for sample in found] == [50, 20, 40, 10, 30]
    assert datasets.count(card) == 5
    assert labels(card, limit=3) == [0, 1, 0]


def test_a_list_gives_the_order_of_the_classes(make, classes, tmp_path):
    listed = tmp_path / "data" / "names.txt"
    listed.write_text("dog the animal\n\ncat some words\nant\n")
    card = make("imagenet", dataset='class_list = "names.txt"')
    assert folders.class_folders(card) == ["dog", "cat", "ant"]
    assert labels(card) == [1, 2, 1, 2, 1]
    listed.write_text("cat\n")
    with pytest.raises(CardError, match=r"folder 'ant' .* is not in names\.txt"):
        labels(card)
    listed.unlink()
    with pytest.raises(CardError, match=r"names\.txt: cannot read the class list: No such file"):
        labels(card)


def test_a_pattern_chooses_pictures(make, classes):
    assert labels(make("imagenet", dataset='images = "*.JPEG"')) == [1]


def test_refuses_empty_folders(make, tmp_path):
    card = make("imagenet")
    with pytest.raises(CardError, match="has no folders, one for each class"):
        datasets.count(card)
    (tmp_path / "data" / "cat").mkdir()
    with pytest.raises(CardError, match="no pictures in"):
        datasets.count(card)


def test_grey_input(make, classes):
    card = make("imagenet", input='channels = "GRAY"')
    assert next(datasets.samples(card)).image.shape == (2, 4, 1)


def test_a_broken_picture_is_left_out_and_told(make, classes, tmp_path):
    good = (tmp_path / "data" / "cat" / "b.png").read_bytes()
    (tmp_path / "data" / "cat" / "b.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "data" / "ant" / "y.png").write_bytes(b"no picture")
    card = make("imagenet")
    skipped: list[str] = []
    assert labels(card, skipped=skipped) == [1, 0, 1]
    assert len(skipped) == 2
    assert "y.png: cannot be decoded" in skipped[0]
    assert "b.png: cannot be decoded" in skipped[1]
    assert datasets.count(card) == 5


def test_refuses_a_data_set_without_any_good_picture(make, tmp_path):
    (tmp_path / "data" / "cat").mkdir()
    (tmp_path / "data" / "cat" / "a.png").write_bytes(b"no picture")
    with pytest.raises(CardError, match=r"none of 1 images can be decoded; .*a\.png"):
        evaluate([network()], make("imagenet"))


def test_the_result_counts_what_was_left_out(make, classes, tmp_path):
    (tmp_path / "data" / "cat" / "b.png").write_bytes(b"no picture")
    seen = []
    result = evaluate(
        [network()], make("imagenet"), batch=2, progress=lambda *done: seen.append(done)
    )
    assert result.images == 4
    assert len(result.skipped) == 1
    assert seen[-1] == (5, 5)


def test_folders_that_are_not_the_classes_are_doubtful(make, classes, tmp_path, capsys):
    card = make("imagenet")  # two folders, 24 classes
    words = "has 2 class folders, but the network has 24 classes"
    (warning,) = evaluate([network()], card).warnings
    assert words in warning and "class_list" in warning
    checked = check(card.path, model=network())
    assert checked.ok and checked.warnings == (warning,)
    assert check(card.path).warnings == ()  # nobody says how many classes there should be
    (tmp_path / "model.onnx").write_bytes(network())
    assert main(["card", "check", str(card.path), f"--model={tmp_path / 'model.onnx'}"]) == 0
    page, error = capsys.readouterr()
    assert "doubtful" in page and error == f"spiq: warning: {warning}\n"
    (told,) = check(make("imagenet", decode="classes = 24").path).warnings
    assert told == warning
    (tmp_path / "data" / "names.txt").write_text("ant\ncat\ndog\n")
    listed = make("imagenet", dataset='class_list = "names.txt"')
    assert evaluate([network()], listed).warnings == ()


def test_without_pillow(make, classes, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigError, match=r"need Pillow: pip install 'spiq\[tasks\]'"):
        labels(make("imagenet"))


# voc


@pytest.fixture
def voc(picture, tmp_path):
    """Two pictures with masks; returns the masks by name."""
    rng = np.random.default_rng(0)
    masks = {}
    for name in ("one", "two"):
        picture(f"JPEGImages/{name}.jpg", 100)
        mask = rng.choice(np.array([0, 3, 20, 255], np.uint8), (2, 4))
        masks[name] = picture(f"SegmentationClass/{name}.png", mask, mode="P")
    listed = tmp_path / "data" / "ImageSets" / "Segmentation"
    listed.mkdir(parents=True)
    (listed / "val.txt").write_text("two\none\n")
    (listed / "some.txt").write_text("one\n")
    return masks


def test_voc_masks_are_indices_of_the_palette(make, voc):
    found = labels(make("voc"))
    np.testing.assert_array_equal(found, [voc["two"], voc["one"]])
    np.testing.assert_array_equal(labels(make("voc", dataset='split = "some"')), [voc["one"]])


def test_voc_leaves_out_what_is_not_there(make, voc, picture, tmp_path):
    (tmp_path / "data" / "SegmentationClass" / "two.png").unlink()
    skipped: list[str] = []
    assert len(labels(make("voc"), skipped=skipped)) == 1
    assert "two.png: cannot be decoded: No such file" in skipped[0]
    picture("SegmentationClass/two.png", 7)
    skipped.clear()
    labels(make("voc"), skipped=skipped)
    assert "a mask of mode RGB" in skipped[0]
    picture("SegmentationClass/two.png", 7, mode="L", size=(3, 3))
    skipped.clear()
    labels(make("voc"), skipped=skipped)
    assert "size (3, 3); its picture's size is (4, 2)" in skipped[0]


def test_refuses_an_unknown_split(make, voc):
    with pytest.raises(CardError, match=r"test\.txt: cannot read the split: No such file"):
        datasets.count(make("voc", dataset='split = "test"'))


# cityscapes


def test_cityscapes_labels_become_classes(make, picture):
    for name in ("b/b_000001", "a/a_000002"):
        picture(f"leftImg8bit/val/{name}_leftImg8bit.png", 100)
    picture("leftImg8bit/train/c/c_000003_leftImg8bit.png", 100)
    mask = np.array([[0, 7, 8, 11], [33, 32, 255, 29]], np.uint8)
    picture("gtFine/val/a/a_000002_gtFine_labelIds.png", mask, mode="L")
    picture("gtFine/val/b/b_000001_gtFine_labelIds.png", mask, mode="L")
    trained = np.array([[1, 2, 3, 4], [255, 18, 0, 7]], np.uint8)
    picture("gtFine/val/b/b_000001_gtFine_labelTrainIds.png", trained, mode="L")
    mapped = [[255, 0, 1, 2], [18, 17, 255, 255]]
    np.testing.assert_array_equal(labels(make("cityscapes")), [mapped, trained])
    assert len(pictures.TRAIN_IDS) == 19
    assert sorted(pictures.TRAIN_IDS.values()) == list(range(19))


# The size of the input


@pytest.mark.parametrize(
    ("size", "rule", "expected"),
    [
        ((500, 375), {"resize": "exact"}, (224, 224, 0, 0)),
        # Resize(256) and CenterCrop(224) of torchvision.
        ((500, 375), {"resize": "shorter", "resize_to": 256}, (341, 256, -58, -16)),
        ((375, 500), {"resize": "shorter", "resize_to": 256}, (256, 341, -16, -58)),
        ((100, 100), {"resize": "shorter", "resize_to": 224}, (224, 224, 0, 0)),
        # LetterBox(224) of Ultralytics.
        ((500, 375), {"resize": "letterbox"}, (224, 168, 0, 28)),
        ((375, 501), {"resize": "letterbox"}, (168, 224, 28, 0)),
        ((501, 374), {"resize": "letterbox"}, (224, 167, 0, 28)),
        ((1000, 1), {"resize": "letterbox"}, (224, 1, 0, 111)),
    ],
)
def test_placement(size, rule, expected):
    placed = pictures.place(size, Preprocess(**rule), Input(width=224, height=224))
    assert (placed.width, placed.height, placed.left, placed.top) == expected


def test_pictures_and_masks_are_cut_and_padded_alike(make, voc, picture):
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:, 2:] = 200
    mask = np.zeros((4, 4), np.uint8)
    mask[:, 2:] = 5
    picture("JPEGImages/two.jpg", pixels)
    picture("SegmentationClass/two.png", mask, mode="P")
    options = {"preprocess": 'pad_value = 9\ninterpolation = "nearest"'}
    boxed = next(datasets.samples(make("voc", resize="letterbox", **options)))
    np.testing.assert_array_equal(boxed.label, [[255, 0, 5, 255]] * 2)
    assert boxed.image[:, [0, 3]].max() == 9
    assert boxed.image[:, 1].max() < 20
    assert boxed.image[:, 2].min() > 180
    options["preprocess"] += "\nresize_to = 4"
    cut = next(datasets.samples(make("voc", resize="shorter", **options)))
    np.testing.assert_array_equal(cut.label, [[0, 0, 5, 5]] * 2)
    exact = next(datasets.samples(make("voc")))
    np.testing.assert_array_equal(exact.label, [[0, 0, 5, 5]] * 2)
