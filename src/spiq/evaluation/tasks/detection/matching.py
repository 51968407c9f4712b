"""Which detections are right: COCO's matching, by pycocotools.

At each of ten IoU thresholds a detection, best first, takes the free labelled box of its class that
it overlaps most. A detection that overlaps none by half is wrong at all of them, and takes nothing
from others: only the rest goes through pycocotools. It matches pairs of image and class one by one,
so each pair that has a labelled box is an image of its own there, and no other pair is visited.

T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spiq.errors import ConfigError
from spiq.evaluation.tasks.detection.boxes import Detections, Ints, overlap
from spiq.evaluation.tasks.detection.labelled import Truth

THRESHOLDS = np.linspace(0.5, 0.95, 10)

_RANGE, _BEYOND = (0.0, 1e30), 1e31
"""Areas that count, and one that makes pycocotools take a box out of the count."""

_ROUNDING = 1e-3
"""More than float32 is off by; pycocotools decides on what is left."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """All detections of a network, by class and from the best on, and the boxes to be found."""

    image: Ints
    """(n,): index of the image."""
    label: Ints
    right: npt.NDArray[np.bool_]
    """(10, n): whether it takes a labelled box, at each IoU threshold."""
    ignored: npt.NDArray[np.bool_]
    """(10, n): whether it counts as neither right nor wrong."""
    truth_image: Ints
    """(m,): the image of each box to be found."""
    truth_label: Ints


def cocotools() -> Any:
    """Import pycocotools.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        from pycocotools import coco, cocoeval
    except ImportError as error:
        raise ConfigError("detection needs pycocotools: pip install 'spiq[tasks]'") from error
    return coco.COCO, cocoeval.COCOeval


def match(truths: Sequence[Truth], found: Sequence[Detections], *, max_detections: int) -> Matches:
    """Match the detections of each image, in original pixels, with its labelled boxes."""
    image = np.repeat(np.arange(len(found)), [len(entry.labels) for entry in found])
    label = np.concatenate([entry.labels for entry in found])
    score = np.concatenate([entry.scores for entry in found])
    boxes = np.concatenate([entry.boxes for entry in found]).astype(np.float64)
    order = np.lexsort((-score, label))
    right = np.zeros((len(THRESHOLDS), len(label)), np.bool_)
    ignored = np.zeros_like(right)
    some = np.concatenate([_near(*pair) for pair in zip(truths, found, strict=True)])
    if some.any():
        rows = np.column_stack([image, boxes, score, label])[some]
        right[:, some], ignored[:, some] = _run(truths, rows, max_detections)
    counted = [~(entry.crowd | entry.difficult) for entry in truths]
    return Matches(
        image=image[order],
        label=label[order],
        right=right[:, order],
        ignored=ignored[:, order],
        truth_image=np.repeat(np.arange(len(truths)), [int(entry.sum()) for entry in counted]),
        truth_label=np.concatenate(
            [entry.labels[kept] for entry, kept in zip(truths, counted, strict=True)]
        ),
    )


def _near(truth: Truth, found: Detections) -> npt.NDArray[np.bool_]:
    """Return which detections may take a labelled box."""
    if not len(truth.labels):
        return np.zeros(len(found.labels), np.bool_)
    shared = overlap(found.boxes[:, None], truth.boxes.astype(np.float32))
    # What lies within a crowd may overlap little of it.
    close = (shared > THRESHOLDS[0] - _ROUNDING) | truth.crowd
    return np.asarray((close & (found.labels[:, None] == truth.labels)).any(axis=1))


def _run(
    truths: Sequence[Truth], rows: npt.NDArray[np.float64], max_detections: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Match rows of image, x1, y1, x2, y2, score and class with pycocotools."""
    classes = 1 + max(int(truth.labels.max(initial=0)) for truth in truths)
    rows[:, 3:5] -= rows[:, 1:3]
    rows[:, 0] = rows[:, 0] * classes + rows[:, 6]
    rows[:, 6] = 0
    annotations = [
        entry for i, truth in enumerate(truths) for entry in _annotations(i * classes, truth)
    ]
    for index, annotation in enumerate(annotations):
        annotation["id"] = index + 1  # 0 stands for "no match"

    right = np.zeros((len(THRESHOLDS), len(rows)), np.bool_)
    ignored = np.zeros_like(right)
    for entry in filter(None, _evaluated(annotations, rows, max_detections)):
        columns = np.array(entry["dtIds"], np.intp) - 1  # numbered from 1 in the order of rows
        ignored[:, columns] = entry["dtIgnore"]
        right[:, columns] = (entry["dtMatches"] > 0) & ~ignored[:, columns]
    return right, ignored


def _evaluated(
    annotations: list[dict[str, Any]], rows: npt.NDArray[np.float64], max_detections: int
) -> list[dict[str, Any] | None]:
    """Return what pycocotools finds of each image: those of a data set of one category."""
    COCO, COCOeval = cocotools()
    known = COCO()
    known.dataset = {
        "info": {},
        "images": [{"id": pair} for pair in {entry["image_id"] for entry in annotations}],
        "categories": [{"id": 0}],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(rows), "bbox")
        evaluation.params.iouThrs = THRESHOLDS
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [list(_RANGE)], ["all"]
        evaluation.params.maxDets = [max_detections]
        evaluation.evaluate()
    found: list[dict[str, Any] | None] = evaluation.evalImgs
    return found


def _annotations(first: int, truth: Truth) -> list[dict[str, Any]]:
    """Return the labelled boxes; ``first`` is the number of the image's first class."""
    corners, sizes = truth.boxes[:, :2], truth.boxes[:, 2:] - truth.boxes[:, :2]
    return [
        {
            "image_id": first + int(label),
            "category_id": 0,
            "bbox": box.tolist(),
            "area": _BEYOND if difficult else float(box[2] * box[3]),
            "iscrowd": int(crowd),
        }
        for box, label, crowd, difficult in zip(
            np.concatenate([corners, sizes], axis=1),
            truth.labels,
            truth.crowd,
            truth.difficult,
            strict=True,
        )
    ]
