"""Every kind beside a slow decoder that follows the published formulas cell by cell."""

import dataclasses
from math import exp, tanh
from pathlib import Path

import numpy as np
import pytest

from spiq.errors import CardError
from spiq.evaluation.cards.sections import Card, Dataset, Decode, Input
from spiq.evaluation.tasks.detection.decode import KINDS, decoder

WIDTH, HEIGHT, CLASSES = 12, 8, 3
ANCHORS = ((3.0, 2.0, 5.0, 6.0), (1.0, 2.0, 2.0, 1.0))
SCALES = (1.1, 1.0)


def sigmoid(x):
    return 1 / (1 + exp(-x))


def softmax(x):
    powers = [exp(value) for value in x]
    return [value / sum(powers) for value in powers]


def card(kind, **spec):
    return Card(
        name="tiny",
        task="detection",
        path=Path("tiny.toml"),
        dataset=Dataset(dir=Path()),
        input=Input(width=WIDTH, height=HEIGHT),
        decode=Decode(kind=kind, classes=CLASSES, nms_iou=1.0, max_detections=10**6, **spec),
    )


def answers(x, y, width, height, scores, *, multi_label, threshold):
    """(label, score, x1, y1, x2, y2) of one box for each label that it gets."""
    best = max(range(CLASSES), key=lambda k: scores[k])
    labels = range(CLASSES) if multi_label else [best]
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return [(k, scores[k], *corners) for k in labels if scores[k] > threshold]


def yolov3(outputs, image, **options):
    found = []
    for output, anchors, s in zip(outputs, ANCHORS, SCALES, strict=True):
        _, channels, rows, columns = output.shape
        for a in range(2):
            for gy, gx in np.ndindex(rows, columns):
                first = a * channels // 2
                tx, ty, tw, th, obj, *cls = output[image, first : first + 5 + CLASSES, gy, gx]
                found += answers(
                    (sigmoid(tx) * s - (s - 1) / 2 + gx) / columns,
                    (sigmoid(ty) * s - (s - 1) / 2 + gy) / rows,
                    exp(tw) * anchors[2 * a] / WIDTH,
                    exp(th) * anchors[2 * a + 1] / HEIGHT,
                    [sigmoid(obj) * sigmoid(value) for value in cls],
                    **options,
                )
    return found


def fastestdet(outputs, image, **options):
    obj, reg, cls = outputs
    found = []
    _, _, rows, columns = obj.shape
    for gy, gx in np.ndindex(rows, columns):
        r = reg[image, :, gy, gx]
        share = softmax(cls[image, :, gy, gx])
        found += answers(
            (tanh(r[0]) + gx) / columns,
            (tanh(r[1]) + gy) / rows,
            sigmoid(r[2]),
            sigmoid(r[3]),
            [sigmoid(obj[image, 0, gy, gx]) ** 0.6 * value**0.4 for value in share],
            **options,
        )
    return found


def yolov8(outputs, image, **options):
    found = []
    for x, y, width, height, *scores in outputs[0][image].T:
        found += answers(x / WIDTH, y / HEIGHT, width / WIDTH, height / HEIGHT, scores, **options)
    return found


def yolov5(outputs, image, **options):
    found = []
    for x, y, width, height, obj, *cls in outputs[0][image]:
        scores = [obj * value for value in cls]
        found += answers(x / WIDTH, y / HEIGHT, width / WIDTH, height / HEIGHT, scores, **options)
    return found


PRIORS = tuple(tuple(row) for row in np.random.default_rng(0).uniform(0.1, 0.9, (7, 4)))


def ssd(outputs, image, **options):
    found = []
    for prior, t, raw in zip(PRIORS, outputs[0][image], outputs[1][image], strict=True):
        found += answers(
            prior[0] + 0.1 * t[0] * prior[2],
            prior[1] + 0.1 * t[1] * prior[3],
            prior[2] * exp(0.2 * t[2]),
            prior[3] * exp(0.2 * t[3]),
            softmax(raw)[1:],
            **options,
        )
    return found


def normal(*shapes):
    rng = np.random.default_rng(5)
    return [rng.normal(0, 2, (2, *shape)).astype(np.float32) for shape in shapes]


CASES = {
    "yolov3": (
        yolov3,
        {"strides": (4, 2), "anchors": ANCHORS, "scale_x_y": SCALES},
        normal((16, 2, 3), (16, 4, 6)),
    ),
    "fastestdet": (fastestdet, {"strides": (2,)}, normal((1, 4, 6), (4, 4, 6), (3, 4, 6))),
    "yolov8": (yolov8, {}, [np.abs(output) / 3 for output in normal((7, 9))]),
    "yolov5": (yolov5, {}, [np.abs(output) / 2 for output in normal((9, 8))]),
    "ssd": (ssd, {"priors": PRIORS}, normal((7, 4), (7, 4))),
}


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_formulas(kind, multi_label):
    oracle, spec, outputs = CASES[kind]
    spec = card(kind, multi_label=multi_label, score_threshold=0.2, **spec)
    result = decoder(spec)(outputs)
    assert len(result) == 2
    for image, found in enumerate(result):
        expected = oracle(outputs, image, multi_label=multi_label, threshold=0.2)
        rows = np.column_stack([found.labels, found.scores, found.boxes])
        assert len(expected) > 3
        by_score = sorted(expected, key=lambda row: -row[1])
        np.testing.assert_allclose(rows, by_score, atol=2e-5, rtol=1e-5)
        assert found.boxes.dtype == found.scores.dtype == np.float32


def test_heads_may_come_in_any_order():
    _, spec, outputs = CASES["yolov3"]
    decode = decoder(card("yolov3", **spec))
    for one, other in zip(decode(outputs), decode(outputs[::-1]), strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_yolov8_may_be_transposed():
    (output,) = CASES["yolov8"][2]
    decode = decoder(card("yolov8"))
    one, other = decode([output])[0], decode([output.transpose(0, 2, 1)])[0]
    np.testing.assert_array_equal(one.boxes, other.boxes)


def test_priors_may_be_in_a_file(tmp_path):
    _, spec, outputs = CASES["ssd"]
    np.save(tmp_path / "priors.npy", np.array(PRIORS))
    filed = dataclasses.replace(card("ssd", priors="priors.npy"), path=tmp_path / "card.toml")
    one, other = decoder(card("ssd", **spec))(outputs)[0], decoder(filed)(outputs)[0]
    np.testing.assert_array_equal(one.boxes, other.boxes)


def test_ssd_without_background():
    outputs = normal((7, 4), (7, 3))
    spec = card(
        "ssd", priors=PRIORS, background=False, activation="sigmoid", variances=(0.1, 0.1, 0.2, 0.2)
    )
    found = decoder(spec)(outputs)[0]
    assert found.scores[0] == pytest.approx(sigmoid(outputs[1][0].max()), abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("yolov4", {}, "kind 'yolov4' is unknown; known: yolov3, yolov8, yolov5, "),
        ("yolov3", {"strides": (4, 2)}, "kind 'yolov3' needs 'anchors'"),
        ("yolov3", {"strides": (4,), "anchors": ANCHORS}, "anchors has 2 entries, but strides"),
        ("yolov3", {"strides": (4,), "anchors": ((1.0,),)}, "anchors of a head are width, height"),
        ("fastestdet", {"strides": (4, 2)}, "strides has 2 entries: a 'fastestdet' network has"),
        ("ssd", {}, "kind 'ssd' needs 'priors'"),
        ("ssd", {"priors": "no.npy"}, "cannot read the priors"),
        ("ssd", {"priors": ((1.0, 2.0),)}, r"priors have shape \(1, 2\)"),
        ("ssd", {"priors": PRIORS, "variances": (0.1,)}, "variances are those of"),
        ("yolov8", {"class_names": ("a",)}, "classes is 3, but class_names has 1 names"),
    ],
)
def test_a_wrong_card_is_refused(kind, spec, message):
    with pytest.raises(CardError, match=message):
        decoder(card(kind, **spec))


@pytest.mark.parametrize("kind", KINDS)
def test_another_network_is_refused(kind):
    decode = decoder(card(kind, **CASES[kind][1]))
    with pytest.raises(CardError, match=r"outputs are \(N, 5, 2, 2\), but tiny.toml needs"):
        decode(normal((5, 2, 2)))


def test_the_number_of_classes_is_needed():
    spec = dataclasses.replace(card("yolov8"), decode=Decode(kind="yolov8"))
    with pytest.raises(CardError, match="kind 'yolov8' needs 'classes'"):
        decoder(spec)
