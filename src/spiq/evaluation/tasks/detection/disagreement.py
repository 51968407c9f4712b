"""How far two networks' answers on one image are apart, without looking at the truth.

Boxes a of one network and b of the other belong together where they are of the same class, overlap
by at least half, and each is the other's best partner. With scores s,

    disagreement = 1 - 2 sum_{pairs} min(s_a, s_b) / (sum s_a + sum s_b)

which is 0 for equal answers and 1 where nothing belongs together; boxes of low score hardly count.
"""

import numpy as np

from spiq.evaluation.tasks.detection.boxes import Detections, overlap

_LEAST_IOU = 0.5


def disagreement(first: Detections, other: Detections) -> float:
    """Return the disagreement of two answers for one image, from 0 to 1; 0 if both are empty."""
    total = float(first.scores.sum(dtype=np.float64) + other.scores.sum(dtype=np.float64))
    if total == 0:
        return 0.0
    if not len(first.labels) or not len(other.labels):
        return 1.0
    shared = overlap(first.boxes[:, None], other.boxes[None])
    shared *= first.labels[:, None] == other.labels
    partner, back = shared.argmax(axis=1), shared.argmax(axis=0)
    rows = np.arange(len(partner))
    paired = rows[(back[partner] == rows) & (shared[rows, partner] >= _LEAST_IOU)]
    common = np.minimum(first.scores[paired], other.scores[partner[paired]])
    return 1 - 2 * float(common.sum(dtype=np.float64)) / total
