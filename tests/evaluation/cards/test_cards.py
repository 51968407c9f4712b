from pathlib import Path

import pytest

from spiq.errors import CardError, ConfigError
from spiq.evaluation import evaluate
from spiq.evaluation.cards.read import read
from spiq.evaluation.cards.sections import SECTIONS
from spiq.evaluation.data.datasets import count


def test_reads_every_section(make_card):
    path = make_card(
        dataset='n = 9\nimages = "part-*.npz"',
        input='channels = "BGR"\nmean = [1, 2.5, 3]\nstd = [4.0, 5.0, 6.0]\ndivide_after = 255',
        decode="anchors = [[1,2, 3,4], [5,6]]\nstrides = [8]\nmulti_label = true",
    )
    path.write_text(
        path.read_text() + '[source]\nlicence = "MIT"\n[float32]\ntop1 = 50\n'
        '[model]\nbytes = 3\n[preprocess]\nsteps = "none"\n'
    )
    card = read(path)
    assert (card.name, card.task, card.path) == ("tiny", "classification", path)
    assert (card.dataset.n, card.dataset.dir) == (9, path.parent / "images")
    assert (card.input.mean, card.input.std) == ((1.0, 2.5, 3.0), (4.0, 5.0, 6.0))
    assert (card.input.shape, card.input.divide_after) == ((3, 2, 2), 255.0)
    assert card.decode.anchors == ((1.0, 2.0, 3.0, 4.0), (5.0, 6.0))
    assert card.decode.multi_label and card.decode.strides == (8,)
    assert (card.source.licence, card.float32.top1, card.model.bytes) == ("MIT", 50.0, 3)
    assert card.preprocess.steps == "none"


@pytest.mark.parametrize(("channels", "count"), [("RGB", 3), ("GRAY", 1)])
def test_absent_mean_and_std_divide_by_255(make_card, channels, count):
    spec = read(make_card(input=f'channels = "{channels}"')).input
    assert (spec.mean, spec.std, spec.divide_after) == ((0.0,) * count, (255.0,) * count, 1.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width = 2", "widht = 2", r"\[input\] has an unknown key 'widht': did you mean 'width'\?"),
        ("[dataset]", "[datasets]", "unknown key 'datasets': did you mean 'dataset'"),
        ("[decode]", "[zzz]", "unknown key 'zzz': known: dataset, decode"),
        ('task = "classification"', 'task = "clasification"', "task 'clasification': did you mean"),
        ('task = "classification"', "", "'task' is missing"),
        ('name = "tiny"', "name = 3", "name = 3: it must be a valid string"),
        ("width = 2", "", r"\[input\] 'width' is missing"),
        ("width = 2", "width = 0", r"width = 0: it must be greater than or equal to 1"),
        ("width = 2", "width = true", "it must be a valid integer"),
        ("width = 2", 'width = 2\nlayout = "NHWC"', "it must be 'NCHW'"),
        ("width = 2", "width = 2\nmean = [0, 0, 0]", "mean and std belong together"),
        (
            "width = 2",
            "width = 2\nmean = [0]\nstd = [1]",
            "mean has 1 values, but channels = 'RGB'",
        ),
        ("width = 2", "width = 2\nmean = 3\nstd = [1]", "mean = 3: it must be a valid list"),
        ("width = 2", "width = 2\nstd = [1, 0, 1]", r"std\[1\] = 0: it must be greater than 0"),
        ("width = 2", "width = 2\ndivide_after = nan", "it must be a finite number"),
        ("[decode]", '[decode]\nmulti_label = "yes"', "it must be a valid boolean"),
        ("[decode]", '[decode]\nscore_threshold = "x"', "it must be a valid number"),
        ("[decode]", "decode = 1", r"unknown key 'decode'|not a TOML|must be a section"),
        ("[dataset]", "[dataset", "not a TOML file"),
    ],
)
def test_refuses_what_it_does_not_know(make_card, old, new, message):
    path = make_card()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(CardError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_section_must_be_a_table(make_card):
    path = make_card()
    path.write_text("source = 3\n" + path.read_text())
    with pytest.raises(CardError, match=r"'source' must be a section, \[source\]"):
        read(path)


def test_missing_card(tmp_path):
    with pytest.raises(CardError, match="cannot read the card: No such file"):
        read(tmp_path / "card.toml")


def test_data_set_in_data_of_a_folder_above(make_card, tmp_path):
    path = make_card()
    below = tmp_path / "classification" / "tiny"
    below.mkdir(parents=True)
    moved = path.rename(below / path.name)
    with pytest.raises(CardError, match="'images' not found; tried ") as caught:
        read(moved)
    for tried in (below / "images", below / "data" / "images", tmp_path / "data" / "images"):
        assert str(tried) in str(caught.value)
    (tmp_path / "data").mkdir()
    (tmp_path / "images").rename(tmp_path / "data" / "images")
    assert read(moved).dataset.dir == tmp_path / "data" / "images"


@pytest.mark.parametrize(
    ("task", "dataset", "preprocess", "message"),
    [
        ("detection", 'layout = "imagenet"', "", "for classification, not for detection: choose"),
        ("segmentation", 'layout = "coco"', "", "choose one of npz, voc, cityscapes"),
        ("classification", 'split = "val"', "", "'split' means nothing for layout 'npz'"),
        ("segmentation", 'layout = "voc"\nlabels = "x"', "", "'labels' means nothing for"),
        ("segmentation", 'layout = "voc"', "", r"lacks 'resize'.*: exact, shorter, letterbox"),
        (
            "segmentation",
            'layout = "voc"',
            'resize = "crop"',
            "it must be 'exact', 'shorter' or 'letterbox'",
        ),
        ("segmentation", 'layout = "voc"', 'resize = "shorter"', "resize_to belongs to"),
        ("segmentation", 'layout = "voc"', 'resize = "exact"\nresize_to = 3', "resize_to belongs"),
        (
            "segmentation",
            'layout = "voc"',
            'resize = "shorter"\nresize_to = 1',
            "resize_to = 1 is less than the input's 2x2",
        ),
        ("classification", "", 'resize = "exact"', "resize is for image files"),
        ("classification", "", "pad_value = 256", "it must be less than or equal to 255"),
    ],
)
def test_layouts_have_their_own_keys(make_card, task, dataset, preprocess, message):
    path = make_card(task=task, dataset=dataset)
    path.write_text(path.read_text() + f"[preprocess]\n{preprocess}\n")
    with pytest.raises(CardError, match=message):
        read(path)


def test_classes_and_masks_are_read_by_argmax_only(make_card):
    with pytest.raises(CardError, match="kind = 'yolov8': segmentation has only 'argmax'"):
        read(make_card(task="segmentation", decode='kind = "yolov8"'))


def test_the_manual_names_every_key():
    manual = (Path(__file__).parents[3] / "docs" / "cards.md").read_text("utf-8")
    for keys in SECTIONS.values():
        for key in keys:
            assert f"`{key}`" in manual


def test_a_single_network_is_not_a_list_of_them(make_card):
    with pytest.raises(ConfigError, match="give a list"):
        evaluate("model.onnx", make_card())


@pytest.mark.zoo
def test_every_card_of_the_zoo_is_read(zoo: Path):
    paths = sorted(zoo.glob("*/*/zoo*.toml"))
    assert len(paths) >= 9
    for path in paths:
        card = read(path)
        if path.parts[-3] != "found":
            assert card.task == path.parts[-3]
        assert card.dataset.dir.parent.name == "data"
        assert card.float32.images in (card.dataset.n, None)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"dataset": 'annotations = "../../secret.json"'}, r"\[dataset\] annotations = "),
        ({"dataset": 'labels = "/etc/hosts"'}, r"\[dataset\] labels = '/etc/hosts' leads out"),
        ({"dataset": 'images = "../../*.npz"'}, r"\[dataset\] images = "),
        ({"decode": 'priors = "../priors.npy"'}, r"\[decode\] priors = "),
    ],
)
def test_paths_stay_in_the_folder_of_the_card(make_card, sections, message):
    path = make_card((2,), **sections)
    with pytest.raises(CardError, match=f"{message}.*outside = true"):
        read(path)
    path.write_text(path.read_text().replace("[dataset]", "[dataset]\noutside = true"))
    assert read(path).dataset.outside


@pytest.mark.parametrize("dir", ["{}", "../{0.name}", "~"])
def test_the_data_set_stays_there_too(make_card, tmp_path, dir):
    path = make_card((2,))
    away = dir.format(tmp_path / "images" if dir == "{}" else tmp_path.parent)
    path.write_text(path.read_text().replace('"images"', f'"{away}"'))
    if away == str(tmp_path / "images"):  # absolute, but where the card is
        assert read(path).dataset.dir == tmp_path / "images"
        return
    with pytest.raises(CardError, match=r"\[dataset\] dir = .* leads out of the card's folder"):
        read(path)


def test_a_pattern_that_is_none_is_told(make_card):
    path = make_card((2,), dataset='outside = true\nimages = "/*.npz"')
    with pytest.raises(CardError, match=r"'/\*\.npz' is no pattern"):
        count(read(path))


def test_a_card_that_is_nested_too_deeply(tmp_path):
    path = tmp_path / "card.toml"
    path.write_text("a = " + "[" * 20_000 + "]" * 20_000)
    with pytest.raises(CardError, match=r"card\.toml: the tables are nested too deeply"):
        read(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", r"a\u001b[31mb", "text without control characters"),
        ("name", r"two\nlines", "one line of text"),
        ("task", r"\u0007", "text without control characters"),
    ],
)
def test_control_characters_are_refused_in_a_line_without_them(make_card, key, value, message):
    path = make_card((2,))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(f'{key} = "{value}"' if x.startswith(key) else x for x in lines))
    with pytest.raises(CardError, match=message) as caught:
        read(path)
    assert str(caught.value).isprintable()
