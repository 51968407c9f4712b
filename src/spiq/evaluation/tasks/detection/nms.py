"""Class-wise non-maximum suppression over a whole batch, without a loop over boxes.

Within one image and class, best first, greedy suppression keeps

    kept_j = not any(kept_i and IoU(i, j) > t for i before j)

whose only solution is reached by applying it again and again, from "all kept" on: the first box is
right from the start, and each pass makes at least one more right. Pairs (i, j) exist only within
an image and class, so they are few. Boxes come in blocks, the best of each image first: what a
block leaves does not depend on later ones, so an image is done once it has its most detections.
"""

import numpy as np
import numpy.typing as npt

from spiq.evaluation.tasks.detection.boxes import Candidates, Detections, Ints, area

_BLOCK = 128
"""Boxes per image and block: bounds the pairs."""


def select(found: Candidates, *, images: int, iou: float, max_detections: int) -> list[Detections]:
    """Drop overlapping boxes; return the best ``max_detections`` of each image, best first.

    Args:
        found: Boxes of a batch. Of equal scores, the one further up comes first.
        images: Images in the batch.
        iou: A box goes if its IoU with a better, kept one of its class is above this.
        max_detections: Most boxes of an image, all classes together.
    """
    order = np.lexsort((-found.scores, found.image))
    image = found.image[order]
    place = _places(image, images)
    kept = np.zeros(0, np.intp)
    for start in range(0, int(place.max(initial=-1)) + 1, _BLOCK):
        full = np.bincount(image[kept], minlength=images) >= max_detections
        block = (place >= start) & (place < start + _BLOCK) & ~full[image]
        new = np.flatnonzero(block)
        if not len(new):
            break
        # Best first within each image, as before.
        some = np.sort(np.concatenate([kept, new]))
        kept = some[_survivors(found, order[some], iou)]
    kept = kept[_places(image[kept], images) < max_detections]
    ends = np.bincount(image[kept], minlength=images).cumsum()[:-1]
    return [
        Detections(boxes=found.boxes[rows], scores=found.scores[rows], labels=found.labels[rows])
        for rows in np.split(order[kept], ends)
    ]


def _places(image: Ints, images: int) -> Ints:
    """Return each row's place among the rows of its image; ``image`` is sorted."""
    starts = np.bincount(image, minlength=images).cumsum() - np.bincount(image, minlength=images)
    return np.arange(len(image)) - starts[image]


def _survivors(found: Candidates, rows: Ints, iou: float) -> npt.NDArray[np.bool_]:
    """Return which of ``rows``, best first within each image, greedy suppression keeps."""
    image, label = found.image[rows], found.labels[rows]
    # Stable: within an image and class, the order stays.
    order = np.argsort(image * (label.max(initial=0) + 1) + label, kind="stable")
    image, label = image[order], label[order]
    first, second = _pairs((image[1:] == image[:-1]) & (label[1:] == label[:-1]))
    boxes = found.boxes[rows[order]]
    areas, (x1, y1, x2, y2) = area(boxes), np.ascontiguousarray(boxes.T)
    width = np.minimum(x2[first], x2[second]) - np.maximum(x1[first], x1[second])
    height = np.minimum(y2[first], y2[second]) - np.maximum(y1[first], y1[second])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    close = shared > np.float32(iou) * (areas[first] + areas[second] - shared)
    first, second = first[close], second[close]
    kept = np.ones(len(rows), np.bool_)
    while True:
        renewed = np.ones(len(rows), np.bool_)
        renewed[second[kept[first]]] = False
        if np.array_equal(renewed, kept):
            break
        kept = renewed
    result = np.empty_like(kept)
    result[order] = kept
    return result


def _pairs(joined: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return all pairs (i, j), i < j, within runs; ``joined``: row k + 1 goes on with row k's."""
    count = len(joined) + 1
    ends = np.append(np.flatnonzero(~joined) + 1, count)
    after = ends[np.searchsorted(ends, np.arange(count), side="right").clip(max=len(ends) - 1)]
    partners = after - np.arange(count) - 1
    first = np.repeat(np.arange(count), partners)
    begin = np.repeat(partners.cumsum() - partners, partners)
    return first, np.arange(len(first)) - begin + first + 1
