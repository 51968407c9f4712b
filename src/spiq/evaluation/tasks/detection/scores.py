"""From class scores to labels, and the activations that heads leave out of their graphs."""

import math

import numpy as np

from spiq.evaluation.tasks.detection.boxes import Floats, Ints

_LEAST, _MOST = np.float32(-80), np.float32(20)
"""Where exponents are cut off: exp(80) is finite in float32, and no box is exp(20) anchors wide."""


def sigmoid(x: Floats) -> Floats:
    """Return ``1 / (1 + exp(-x))``."""
    result: Floats = np.float32(1) / (np.float32(1) + np.exp(-np.maximum(x, _LEAST)))
    return result


def logit(share: float) -> float:
    """Return what :func:`sigmoid` turns into ``share``; infinite outside (0, 1)."""
    if 0 < share < 1:
        return math.log(share / (1 - share))
    return -math.inf if share <= 0 else math.inf


def exp(x: Floats) -> Floats:
    """Return ``exp(x)`` of sizes, which never become infinite."""
    result: Floats = np.exp(np.minimum(x, _MOST))
    return result


def labelled(scores: Floats, *, threshold: float, multi_label: bool) -> tuple[Ints, Ints, Floats]:
    """Pick what scores above ``threshold`` from ``scores``, (n, classes).

    Args:
        scores: One row per box.
        threshold: Scores at or below it are dropped.
        multi_label: True: a box counts once for each class above the threshold; False: only for
            its best class, the first one of equals.

    Returns:
        Rows, labels and scores, each (k,).
    """
    if multi_label:
        rows, labels = np.nonzero(scores > threshold)
        return rows, labels, scores[rows, labels]
    best = scores.argmax(axis=1)
    values = scores[np.arange(len(scores)), best]
    rows = np.flatnonzero(values > threshold)
    return rows, best[rows], values[rows]
