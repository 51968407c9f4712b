"""Matching and average precision beside pycocotools run as usual, and VOC's rule written out."""

import contextlib
import io

import numpy as np
import pytest

from spiq.evaluation.tasks.detection import matching, precision
from spiq.evaluation.tasks.detection.boxes import Detections, overlap
from spiq.evaluation.tasks.detection.truth import Truth

pycocotools = pytest.importorskip("pycocotools")


def make(images, classes, *, crowd=0.0, difficult=0.0, seed=0):
    """Labelled boxes and detections, some near them; some images have none."""
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for index in range(images):
        count = int(rng.integers(0, 6))
        corner = rng.uniform(0, 300, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(60, 200, (count, 2))], axis=1)
        labels = rng.integers(0, classes, count)
        truths.append(
            Truth(
                name=str(index),
                picture=None,
                size=None,
                boxes=boxes,
                labels=labels,
                crowd=rng.random(count) < crowd,
                difficult=rng.random(count) < difficult,
            )
        )
        near = np.repeat(boxes, 3, axis=0) + rng.normal(0, 10, (3 * count, 4))
        far = np.sort(rng.uniform(0, 500, (4, 2, 2)), axis=1).reshape(4, 4)
        scores = rng.random(3 * count + 4).astype(np.float32)
        order = np.argsort(-scores)
        found.append(
            Detections(
                boxes=np.concatenate([near, far]).astype(np.float32)[order],
                scores=scores[order],
                labels=np.concatenate([np.repeat(labels, 3), rng.integers(0, classes, 4)])[order],
            )
        )
    return truths, found


def coco(truths, found, classes):
    """(mAP, mAP50) by pycocotools."""
    COCO, COCOeval = matching.cocotools()
    known, number = COCO(), 0
    known.dataset = {"info": {}, "images": [], "annotations": []}
    known.dataset["categories"] = [{"id": label} for label in range(classes)]
    rows = []
    for index, (truth, detections) in enumerate(zip(truths, found, strict=True)):
        known.dataset["images"].append({"id": index})
        for box, label, crowd in zip(truth.boxes, truth.labels, truth.crowd, strict=True):
            number += 1
            size = box[2:] - box[:2]
            known.dataset["annotations"].append(
                {
                    "id": number,
                    "image_id": index,
                    "category_id": int(label),
                    "bbox": [*box[:2], *size],
                    "area": float(size.prod()),
                    "iscrowd": int(crowd),
                }
            )
        boxes = detections.boxes.astype(np.float64)
        for box, score, label in zip(boxes, detections.scores, detections.labels, strict=True):
            rows.append([index, *box[:2], *(box[2:] - box[:2]), score, label])
    with contextlib.redirect_stdout(io.StringIO()):
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(np.array(rows, np.float64)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:2]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("crowd", [0.0, 0.3])
def test_equals_pycocotools(crowd, seed):
    truths, found = make(20, 4, crowd=crowd, seed=seed)
    matches = matching.match(truths, found, max_detections=100)
    result = precision.precisions(matches, np.ones((1, 20), np.float32))
    expected = coco(truths, found, 4)
    assert 0.2 < expected[0] < 0.9
    np.testing.assert_allclose([result.mAP[0], result.mAP50[0]], expected, rtol=1e-12)


def voc(truths, found, classes):
    """All-point average precision at IoU 0.5, class by class and box by box."""
    values = []
    for label in range(classes):
        wanted = {
            (i, j)
            for i, truth in enumerate(truths)
            for j in np.flatnonzero((truth.labels == label) & ~truth.difficult)
        }
        ranked = sorted(
            (-score, i, j)
            for i, entry in enumerate(found)
            for j, score in enumerate(entry.scores)
            if entry.labels[j] == label
        )
        taken, hits, curve = set(), 0, []
        count = 0
        for _, i, j in ranked:
            box, truth = found[i].boxes[j], truths[i]
            rivals = [k for k in np.flatnonzero(truth.labels == label) if (i, k) not in taken]
            # Boxes that need not be found take what no other box can.
            rivals.sort(key=lambda k: (truth.difficult[k], -overlap(box, truth.boxes[k])))
            near = [k for k in rivals if overlap(box, truth.boxes[k]) >= 0.5]
            if near:
                taken.add((i, near[0]))
            if near and truth.difficult[near[0]]:
                continue
            count += 1
            hits += bool(near)
            curve.append((hits / len(wanted), hits / count))
        area, before = 0.0, 0.0
        for k, (recall, _) in enumerate(curve):
            area += (recall - before) * max(value for _, value in curve[k:])
            before = recall
        values.append(area)
    return np.mean(values)


@pytest.mark.parametrize("difficult", [0.0, 0.3])
def test_voc_equals_the_area_below_the_curve(difficult):
    truths, found = make(25, 3, difficult=difficult, seed=5)
    matches = matching.match(truths, found, max_detections=100)
    result = precision.precisions(matches, np.ones((1, 25), np.float32))
    assert result.voc[0] == pytest.approx(voc(truths, found, 3), rel=1e-12)


def test_a_weight_is_that_many_copies_of_the_image():
    truths, found = make(8, 3, crowd=0.2, seed=2)
    times = [0, 2, 1, 3, 1, 0, 1, 2]
    matches = matching.match(truths, found, max_detections=100)
    weighted = precision.precisions(matches, np.array([times], np.float32))
    copies = [i for i, count in enumerate(times) for _ in range(count)]
    copied = matching.match(
        [truths[i] for i in copies], [found[i] for i in copies], max_detections=100
    )
    plain = precision.precisions(copied, np.ones((1, len(copies)), np.float32))
    for name in ("mAP50", "mAP", "voc"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(plain, name), rtol=1e-12)


def test_intervals_are_reproducible_and_hold_the_figure():
    truths, found = make(40, 3, seed=9)
    matches = matching.match(truths, found, max_detections=100)
    counts = precision.weights(40)
    assert counts.shape == (201, 40) and (counts.sum(axis=1) == 40).all()
    np.testing.assert_array_equal(counts, precision.weights(40))
    result = precision.estimate(precision.precisions(matches, counts).mAP)
    assert result.low < result.value < result.high


def test_nothing_found_is_precision_0():
    truths, _ = make(5, 2, seed=1)
    empty = Detections(
        boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), labels=np.zeros(0, int)
    )
    matches = matching.match(truths, [empty] * 5, max_detections=100)
    result = precision.precisions(matches, precision.weights(5))
    assert result.mAP50[0] == result.mAP[0] == result.voc[0] == 0


def test_matching_prints_nothing(capsys):
    truths, found = make(5, 2, seed=1)
    matching.match(truths, found, max_detections=100)
    assert capsys.readouterr() == ("", "")
