"""Class-wise non-maximum suppression.

Within one image, best first, a box is kept unless a kept one of its class overlaps it by more than
the threshold. The search ends with the image's most detections, so few boxes are compared.
"""

import numpy as np

from spiq.evaluation.tasks.detection.boxes import Candidates, Detections, Ints, area


def select(found: Candidates, *, images: int, iou: float, max_detections: int) -> list[Detections]:
    """Drop overlapping boxes; return the best ``max_detections`` of each image, best first.

    Args:
        found: Boxes of a batch. Of equal scores, the one further up comes first.
        images: Images in the batch.
        iou: A box goes if its IoU with a better, kept one of its class is above this.
        max_detections: Most boxes of an image, all classes together.
    """
    order = np.lexsort((-found.scores, found.image))
    ends = np.bincount(found.image, minlength=images).cumsum()[:-1]
    kept = [_kept(found, rows, iou, max_detections) for rows in np.split(order, ends)]
    return [
        Detections(boxes=found.boxes[rows], scores=found.scores[rows], labels=found.labels[rows])
        for rows in kept
    ]


def _kept(found: Candidates, rows: Ints, iou: float, most: int) -> Ints:
    """Return those of an image's ``rows``, best first, that greedy suppression keeps."""
    x1, y1, x2, y2 = np.ascontiguousarray(found.boxes[rows].T)
    areas, labels = area(found.boxes[rows]), found.labels[rows]
    left, kept = np.arange(len(rows)), list[np.intp]()
    while len(left) and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(best)

        # Only boxes of its class may go.
        alike = np.flatnonzero(labels[left] == labels[best])
        some = left[alike]
        width = np.minimum(x2[best], x2[some]) - np.maximum(x1[best], x1[some])
        height = np.minimum(y2[best], y2[some]) - np.maximum(y1[best], y1[some])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        close = shared > np.float32(iou) * (areas[best] + areas[some] - shared)
        left = np.delete(left, alike[close])
    return rows[np.array(kept, np.intp)]
