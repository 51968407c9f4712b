"""Average precision from matches, for many weightings of the images at once.

With image i counted w_i times, the detections of a class, best first, and P boxes to be found:

    tp_k = sum_{j <= k} w_j right_j      n_k = sum_{j <= k} w_j (1 - ignored_j)
    recall_k = tp_k / P                  precision_k = max_{j >= k} tp_j / n_j

COCO averages the precision at recalls 0, 0.01, ..., 1, VOC (since 2010) takes the area below it:

    COCO: sum_k precision_k #{r: recall_{k-1} < r <= recall_k} / 101
    VOC:  sum_k precision_k (recall_k - recall_{k-1})

Recall only rises at right detections, where the precision is highest, so the sums need only these.
Weights 1 give the figure, weights drawn from the images with replacement its bootstrap interval
(B. Efron, "Bootstrap methods: another look at the jackknife", 1979). All networks are measured on
the same draws, which gives the interval of their difference.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spiq.evaluation.estimates import Estimate, bootstrapped
from spiq.evaluation.tasks.detection.matching import THRESHOLDS, Matches

Draws = npt.NDArray[np.float64]

RESAMPLES = 200
_SEED = 0
_RECALLS = np.linspace(0.0, 1.0, 101)
_AT_ONCE = 1 << 18
"""Values of one array that are computed together; bounds the memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Precisions:
    """Means over the classes, from 0 to 1: of all images, then one per draw of them, (1 + R,)."""

    mAP50: Draws
    """COCO's at IoU 0.5."""
    mAP: Draws
    """COCO's mean over IoU 0.5, 0.55, ..., 0.95."""
    voc: Draws
    """VOC's at IoU 0.5."""


def weights(images: int) -> npt.NDArray[np.float32]:
    """Return how often each image counts, (1 + R, images): once, then as drawn."""
    rng = np.random.default_rng(_SEED)
    drawn = rng.multinomial(images, np.full(images, 1 / images), size=RESAMPLES)
    return np.concatenate([np.ones((1, images)), drawn]).astype(np.float32)


def precisions(matches: Matches, counts: npt.NDArray[np.float32]) -> Precisions:
    """Return the average precisions for each row of ``counts``, (1 + R, images).

    Classes without a box to be found do not count; without any, they are not a number.
    """
    present = np.unique(matches.truth_label)
    coco = np.zeros((len(counts), len(THRESHOLDS), len(present)))
    voc = np.zeros((len(counts), len(present)))
    totals = np.zeros((len(counts), len(present)))
    starts = np.searchsorted(matches.label, present, side="left")
    ends = np.searchsorted(matches.label, present, side="right")
    for index, (label, start, end) in enumerate(zip(present, starts, ends, strict=True)):
        images = matches.truth_image[matches.truth_label == label]
        totals[:, index] = counts[:, images].sum(axis=1)
        rows = slice(int(start), int(end))
        right = int(matches.right[0, rows].sum())
        step = max(1, _AT_ONCE // max(1, int(end - start), len(THRESHOLDS) * right))
        for first in range(0, len(counts), step):
            some = slice(first, first + step)
            coco[some, :, index], voc[some, index] = _class(
                matches, rows, counts[some], totals[some, index]
            )
    counted = (totals > 0).astype(np.float64)
    share = counted / np.where(counted.sum(axis=1) > 0, counted.sum(axis=1), np.nan)[:, None]
    per_threshold = np.einsum("rtc,rc->rt", coco, share)
    return Precisions(
        mAP50=per_threshold[:, 0], mAP=per_threshold.mean(axis=1), voc=(voc * share).sum(axis=1)
    )


def estimate(values: Draws) -> Estimate:
    """Return the first of ``values`` with the 95 % interval of the others."""
    return bootstrapped(values[0], values[1:])


def _class(
    matches: Matches, rows: slice, counts: npt.NDArray[np.float32], total: Draws
) -> tuple[Draws, Draws]:
    """Return COCO's average precisions, (r, 10), and VOC's at IoU 0.5, (r,), of one class."""
    right, ignored = matches.right[:, rows], matches.ignored[:, rows]
    weight = counts[:, matches.image[rows]]
    marked = np.flatnonzero(right.any(axis=0) | ignored.any(axis=0))
    if not len(marked):
        return np.zeros((len(counts), len(THRESHOLDS))), np.zeros(len(counts))
    seen = weight.cumsum(axis=1, dtype=np.float64)[:, None, marked]
    some = weight[:, None, marked].astype(np.float64)
    hits = (some * right[:, marked]).cumsum(axis=2)
    if ignored.any():
        seen = seen - (some * ignored[:, marked]).cumsum(axis=2)
    precision = hits / np.maximum(seen, np.finfo(np.float64).tiny)
    highest = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    recall = hits / np.maximum(total, 1)[:, None, None]
    levels = np.diff(_reached(recall), axis=2, prepend=0)
    steps = np.diff(recall[:, 0], axis=1, prepend=0.0)
    return (highest * levels).sum(axis=2) / len(_RECALLS), (highest[:, 0] * steps).sum(axis=1)


def _reached(recall: Draws) -> npt.NDArray[np.intp]:
    """Return how many of the 101 recalls each value, from 0 to 1, reaches."""
    nearest = np.rint(recall * (len(_RECALLS) - 1)).astype(np.intp)
    reached: npt.NDArray[np.intp] = nearest + (_RECALLS[nearest] <= recall)
    return reached
