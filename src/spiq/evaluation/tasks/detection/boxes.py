"""Boxes as arrays: x1, y1, x2, y2 in rows; decoded ones have scores and labels beside them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]
Pair = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What a batch's outputs say before overlapping boxes are dropped; one row per box."""

    image: Ints
    """(n,): index within the batch."""
    boxes: Floats
    """(n, 4), relative to the network's input."""
    scores: Floats
    labels: Ints


@dataclass(frozen=True, kw_only=True)
class Detections:
    """What a network finds in one image, best first."""

    boxes: Floats
    """(n, 4)."""
    scores: Floats
    labels: Ints

    def mapped(self, scale: Pair, offset: Pair) -> "Detections":
        """Return them with every point at ``point * scale + offset``, for x and y."""
        boxes = self.boxes * np.array(scale * 2, np.float32) + np.array(offset * 2, np.float32)
        return Detections(boxes=boxes, scores=self.scores, labels=self.labels)


def corners(x: Floats, y: Floats, width: Floats, height: Floats) -> Floats:
    """Return boxes, (n, 4), from their centres and sizes, each (n,)."""
    half_width, half_height = width / 2, height / 2
    return np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)


def overlap(first: Floats, second: Floats) -> Floats:
    """Return the IoU of ``first`` and ``second``, (..., 4) each, broadcast against each other.

    Where both boxes are empty it is 0.
    """
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    union = area(first) + area(second) - shared
    result: Floats = shared / np.maximum(union, np.finfo(np.float32).tiny)
    return result


def area(boxes: Floats) -> Floats:
    """Return the areas of ``boxes``, (..., 4); 0 where a corner is on the wrong side."""
    result: Floats = np.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(axis=-1)
    return result
