import numpy as np
import pytest

from spiq.evaluation.tasks.detection import nms
from spiq.evaluation.tasks.detection.boxes import Candidates, overlap


def greedy(boxes, scores, labels, iou, most):
    """One image's boxes, one after the other."""
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        rivals = [j for j in kept if labels[j] == labels[i]]
        if all(overlap(boxes[i], boxes[j]) <= iou for j in rivals):
            kept.append(i)
    return kept[:most]


def candidates(count, images, classes, seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 0.7, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.05, 0.4, (count, 2))], axis=1)
    return Candidates(
        image=rng.integers(0, images, count),
        boxes=boxes.astype(np.float32),
        scores=rng.integers(1, 50, count).astype(np.float32) / 50,  # with equal ones
        labels=rng.integers(0, classes, count),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("count", "images", "classes", "most"),
    [(1, 3, 2, 100), (300, 4, 3, 100), (300, 4, 3, 5), (900, 2, 1, 20), (900, 1, 80, 300)],
)
def test_equals_the_greedy_loop(count, images, classes, most, seed):
    found = candidates(count, images, classes, seed)
    chosen = nms.select(found, images=images, iou=0.45, max_detections=most)
    assert len(chosen) == images
    for image, result in enumerate(chosen):
        rows = np.flatnonzero(found.image == image)
        parts = found.boxes[rows], found.scores[rows], found.labels[rows]
        kept = rows[greedy(*parts, 0.45, most)]
        np.testing.assert_array_equal(result.boxes, found.boxes[kept])
        np.testing.assert_array_equal(result.scores, found.scores[kept])
        np.testing.assert_array_equal(result.labels, found.labels[kept])


def test_nothing_found():
    found = candidates(0, 1, 1, 0)
    for result in nms.select(found, images=3, iou=0.45, max_detections=10):
        assert result.boxes.shape == (0, 4)
        assert result.scores.shape == result.labels.shape == (0,)


def test_a_chain_of_overlaps_drops_every_second_box():
    x = np.arange(9, dtype=np.float32) * 0.4
    boxes = np.stack([x, np.zeros_like(x), x + 1, np.ones_like(x)], axis=1)
    scores = np.linspace(0.9, 0.1, 9, dtype=np.float32)
    zeros = np.zeros(9, np.intp)
    found = Candidates(image=zeros, boxes=boxes, scores=scores, labels=zeros)
    (result,) = nms.select(found, images=1, iou=0.4, max_detections=100)
    np.testing.assert_array_equal(result.scores, scores[::2])
