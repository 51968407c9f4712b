import dataclasses
import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from spiq.cli.render.tables.evaluation import render_evaluation
from spiq.errors import CardError, ModelError
from spiq.evaluation import evaluate, read
from spiq.evaluation.tasks import confusion, segmentation


def network(body: str, *, channels: object = 3, side: object = 2, more: str = "") -> bytes:
    """A network from ``body``, ONNX text that turns ``input`` into ``logits``."""
    text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N,3,2,2] input) => (float[N,{channels},{side},{side}] logits{more}) {{ {body} }}
    """
    return onnx.parser.parse_model(text).SerializeToString()


PLAIN = "logits = Identity (input)"
ROUNDED = """
    step = Constant <value = float {0.25} > ()
    steps = Div (input, step)
    whole = Round (steps)
    logits = Mul (whole, step)
"""
TURNED = """
    order = Constant <value = int64[3] {1, 2, 0}> ()
    logits = Gather <axis = 1> (input, order)
"""
TWICE = "logits = Concat <axis = 1> (input, input)"
NUMBER = 40


@pytest.fixture
def make(make_card):
    """A card with random images and masks; also the logits of PLAIN, float64, and the masks."""

    def made(labels=None, *, top=3, **sections):
        rng = np.random.default_rng(3)
        images = rng.integers(0, 256, (NUMBER, 2, 2, 3), np.uint8)
        if labels is None:
            labels = rng.integers(0, top, (NUMBER, 2, 2))
        path = make_card(
            (NUMBER,), task="segmentation", arrays={"images": images, "labels": labels}, **sections
        )
        return path, images.transpose(0, 3, 1, 2) / 255, labels

    return made


def by_hand(logits, labels, *, classes, ignored=(), min_pixels=1):
    """Mean IoU and pixel accuracy, pixel by pixel."""
    answers = logits.argmax(axis=1)
    pairs = [
        (int(label), int(answer))
        for label, answer in zip(labels.ravel(), answers.ravel(), strict=True)
        if label not in ignored and label < classes
    ]
    ious = []
    for c in range(classes):
        both = sum(label == c and answer == c for label, answer in pairs)
        either = sum(label == c or answer == c for label, answer in pairs)
        if sum(label == c for label, _ in pairs) >= min_pixels:
            ious.append(both / either)
    right = sum(label == answer for label, answer in pairs)
    return 100 * sum(ious) / len(ious), 100 * right / len(pairs)


def values(score):
    return score.miou.value, score.pixel_accuracy.value


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_scores_equal_a_computation_by_hand(make, batch):
    path, logits, labels = make(decode="classes = 3")
    rounded = np.round(logits / 0.25) * 0.25
    result = evaluate([network(PLAIN), network(ROUNDED)], path, batch=batch)
    assert result.task == "segmentation"
    assert (result.images, result.batch, result.skipped) == (NUMBER, batch, ())
    first, second = result.models
    for score, given in ((first, logits), (second, rounded)):
        assert values(score) == pytest.approx(by_hand(given, labels, classes=3))
        assert score.miou.low < score.miou.value < score.miou.high
    agreement = 100 * (logits.argmax(1) == rounded.argmax(1)).mean()
    assert second.comparison.agreement == pytest.approx(agreement)
    snr = 10 * np.log10(np.sum((logits - logits.mean()) ** 2) / np.sum((logits - rounded) ** 2))
    assert second.comparison.snr_db == {"logits": pytest.approx(snr, abs=1e-3)}
    difference = second.comparison.miou_difference
    assert difference.value == pytest.approx(second.miou.value - first.miou.value)
    assert difference.low <= difference.value <= difference.high
    json.dumps(dataclasses.asdict(result), allow_nan=False)
    assert render_evaluation(result)


def test_labels_that_are_no_classes_are_void(make):
    labels = np.random.default_rng(0).choice([0, 1, 2, 200, 255], (NUMBER, 2, 2))
    path, logits, _ = make(labels, decode="classes = 3")
    (score,) = evaluate([network(PLAIN)], path).models
    assert values(score) == pytest.approx(by_hand(logits, labels, classes=3))
    assert [entry.pixels for entry in score.classes] == [(labels == c).sum() for c in range(3)]


def test_a_void_channel_is_an_error_where_it_wins(make):
    path, logits, labels = make(decode="classes = 2\noutputs = 3")
    (score,) = evaluate([network(PLAIN)], path).models
    assert values(score) == pytest.approx(by_hand(logits, labels, classes=2))
    assert len(score.classes) == 2


def test_listed_void_labels(make):
    labels = np.random.default_rng(0).choice([0, 1, 2, 255], (NUMBER, 2, 2))
    path, logits, _ = make(labels, decode="classes = 3\nignore_labels = [0]")
    (score,) = evaluate([network(PLAIN)], path).models
    assert values(score) == pytest.approx(by_hand(logits, labels, classes=3, ignored=(0,)))
    assert [entry.counted for entry in score.classes] == [False, True, True]


def test_classes_with_too_few_pixels_do_not_count(make):
    labels = np.random.default_rng(0).choice([0, 1, 2], (NUMBER, 2, 2), p=[0.5, 0.4, 0.1])
    path, logits, _ = make(labels, decode='min_pixels = 50\nclass_names = ["sky", "road"]')
    (score,) = evaluate([network(PLAIN)], path).models
    assert values(score) == pytest.approx(by_hand(logits, labels, classes=3, min_pixels=50))
    assert [(entry.name, entry.counted) for entry in score.classes] == [
        ("sky", True),
        ("road", True),
        ("class 2", False),
    ]


def test_a_class_without_labels_has_no_iou(make):
    path, _, _ = make(np.zeros((NUMBER, 2, 2), int), decode="classes = 6")
    (score,) = evaluate([network(TWICE, channels=6)], path).models
    assert score.classes[3].iou is None
    assert score.classes[1].iou == 0
    assert not score.classes[1].counted


def test_a_network_equals_itself(make):
    path, _, _ = make()
    first, second, turned = evaluate([network(PLAIN), network(PLAIN), network(TURNED)], path).models
    assert second.miou == first.miou
    assert second.comparison.agreement == 100
    assert second.comparison.snr_db == {"logits": None}
    assert dataclasses.astuple(second.comparison.miou_difference) == (0, 0, 0)
    assert turned.comparison.agreement < 100


def test_labels_in_a_file_of_their_own(make_card, tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (7, 2, 2))
    path = make_card((5, 4), task="segmentation", dataset='labels = "all.npz"\nn = 7')
    np.savez(tmp_path / "images" / "all.npz", labels=labels)
    parts = [np.load(tmp_path / "images" / f"part-{i:02}.npz")["images"] for i in range(2)]
    logits = np.concatenate(parts)[:7].transpose(0, 3, 1, 2)
    result = evaluate([network(PLAIN)], path)
    assert result.images == 7
    assert values(result.models[0]) == pytest.approx(by_hand(logits, labels, classes=3))


def test_answers_are_those_of_argmax():
    rng = np.random.default_rng(0)
    for channels in (1, 2, 21, 300):
        logits = rng.integers(-3, 3, (channels, 9, 11)).astype(np.float32)  # with equal ones
        np.testing.assert_array_equal(confusion.answers(logits), logits.argmax(axis=0))


def test_the_interval_is_that_of_bootstrap_samples():
    rng = np.random.default_rng(5)
    margins = np.stack(
        [
            confusion.margins(rng.integers(0, 50, (3, 3)) + 40 * np.eye(3, dtype=int))
            for _ in range(30)
        ]
    )
    which = np.array([True, True, False])
    samples = confusion.resampled(margins, 1)
    assert samples.shape == (confusion.RESAMPLES, 2)
    direct = [
        confusion.scores(margins[rng.integers(0, 30, 30)].sum(axis=0), np.ones(3, bool))
        for _ in range(2000)
    ]
    expected = np.quantile(direct, (0.025, 0.975), axis=0)
    np.testing.assert_allclose(np.quantile(samples, (0.025, 0.975), axis=0), expected, rtol=0.02)
    total = margins.sum(axis=0)
    assert confusion.scores(total, which)[0] == pytest.approx(
        100 * confusion.ious(total)[:2].mean()
    )


def test_a_class_that_is_not_drawn_does_not_count():
    present = np.array([[10, 5], [10, 5], [10, 5]])
    absent = np.array([[10, 0], [10, 0], [10, 0]])
    samples = confusion.resampled(np.stack([present, absent, absent]), 1)
    np.testing.assert_allclose(samples, 100)


def test_large_images_go_one_at_a_time(make, monkeypatch):
    path, _, _ = make()
    monkeypatch.setattr(segmentation, "_PIXELS", 12)
    assert evaluate([network(PLAIN)], path).batch == 3


LARGE = """
    scales = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> ()
    none = Constant <value = float[0] {}> ()
    logits = Resize (input, none, scales)
"""
TWO = "logits = Identity (input) other = Relu (input)"


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (network(LARGE, side=4), CardError, r"shape \(5, 3, 4, 4\), but .* needs \(N, 3, 2, 2\)"),
        (
            network(TWICE, channels=6),
            CardError,
            r"\(5, 6, 2, 2\), but",
        ),
        (network("logits = Log (input)"), ModelError, "not all finite"),
        (
            network(TWO, more=", float[N,3,2,2] other"),
            CardError,
            r"2 outputs \('logits', 'other'\): say in .*card.toml, \[decode\] output",
        ),
    ],
    ids=["size", "channels", "not finite", "outputs"],
)
def test_refuses_a_network_that_does_not_fit(make_card, model, error, message):
    arrays = {"images": np.zeros((5, 2, 2, 3), np.uint8), "labels": np.zeros((5, 2, 2), int)}
    path = make_card((5,), task="segmentation", arrays=arrays, decode="outputs = 3")
    with pytest.raises(error, match=message):
        evaluate([model], path)


def test_the_card_names_the_output(make):
    path, logits, labels = make(decode='output = "other"')
    model = network(TWO, more=", float[N,3,2,2] other")
    assert values(evaluate([model], path).models[0]) == pytest.approx(
        by_hand(logits, labels, classes=3)
    )
    path.write_text(path.read_text().replace('"other"', '"another"'))
    with pytest.raises(CardError, match=r"no output 'another', .*; it has 'logits', 'other'"):
        evaluate([model], path)


@pytest.mark.parametrize(
    ("labels", "decode", "message"),
    [
        (np.full((NUMBER, 2, 2), 9), "ignore_labels = [0]", "the label 9, which is neither below"),
        (np.full((NUMBER, 2, 2), 255), "", "no class has a labelled pixel"),
        (np.zeros((NUMBER, 4, 4), int), "", r"labels are int64 \(40, 4, 4\): 40 images need"),
        (np.zeros(NUMBER, int), "", r"whole numbers \(40, 2, 2\)"),
    ],
)
def test_refuses_masks_unlike_the_card(make, labels, decode, message):
    path, _, _ = make(labels, decode=decode)
    with pytest.raises(CardError, match=message):
        evaluate([network(PLAIN)], path)


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["espnetv2-2.0-voc", "espnet-camvid"])
def test_a_real_network_equals_a_straightforward_computation(zoo, name):
    folder = zoo / "segmentation" / name
    card = read(folder / "zoo.toml")
    part = sorted(card.dataset.dir.glob(card.dataset.images))[0]
    with np.load(part) as images, np.load(card.dataset.dir / card.dataset.labels) as masks:
        pixels, labels = images["images"][:2].astype(np.float32), masks["labels"][:2]
    if card.input.channels == "BGR":
        pixels = pixels[..., ::-1]
    mean, std = np.float32(card.input.mean), np.float32(card.input.std)
    inputs = np.moveaxis((pixels - mean) / std / np.float32(card.input.divide_after), -1, 1)
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(inputs)})
    answers, classes = logits.argmax(axis=1), card.decode.classes
    valid = labels < classes
    counts = np.zeros((classes, card.decode.outputs))
    np.add.at(counts, (labels[valid], answers[valid]), 1)
    both, labelled, answered = np.diag(counts), counts.sum(1), counts.sum(0)[:classes]
    which = labelled >= max(1, card.decode.min_pixels)
    (score,) = evaluate([folder / "model.onnx"], card, limit=2).models
    iou = (both / np.maximum(labelled + answered - both, 1))[which].mean()
    assert score.miou.value == pytest.approx(100 * iou, abs=0.01)
    assert score.pixel_accuracy.value == pytest.approx(100 * both.sum() / valid.sum(), abs=0.01)
