"""Confusion counts of segmentation masks, and what follows from them.

Of each image, with the labels l and the answers a of its pixels that are not void,

    both_c = #{l = c, a = c}      labelled_c = #{l = c}      answered_c = #{a = c}

    IoU_c = both_c / (labelled_c + answered_c - both_c)          all sums over the images
    mean IoU = mean of IoU_c over the counted classes
    pixel accuracy = sum_c both_c / sum_c labelled_c

A class counts where it has at least ``min_pixels`` (and at least one) labelled pixels in all
images. An answer that is no class, such as a void output, is an error. Intervals: percentile
bootstrap over images; the same draws serve every network, so that differences are paired.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from spiq.evaluation.estimates import Estimate, bootstrapped

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
_CHUNK = 1 << 22
"""Weights that are drawn at a time."""


def answers(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.integer]:
    """The first class with the greatest logit, (classes, height, width) -> (height, width).

    This is ``logits.argmax(axis=0)``, about ten times faster: every step is one pass over planes
    that fit in the cache. Class numbers grow, so the greatest one yet is the last to have won.
    """
    narrow = np.uint8 if len(logits) <= 256 else np.uint16
    best = logits[0].copy()
    answer = np.zeros(best.shape, narrow)
    greater = np.empty(best.shape, np.bool_)
    for c in range(1, len(logits)):
        np.greater(logits[c], best, out=greater)
        np.maximum(best, logits[c], out=best)
        np.maximum(answer, greater * narrow(c), out=answer)
    return answer


def matrix(
    labels: npt.NDArray[np.integer],
    answer: npt.NDArray[np.integer],
    valid: npt.NDArray[np.bool_],
    *,
    classes: int,
    outputs: int,
) -> Counts:
    """Pixels by label and answer, (classes, outputs).

    Args:
        labels: (height, width), below ``classes`` where ``valid``.
        answer: Likewise, below ``outputs``.
        valid: Pixels that are not void.
        classes: Number of classes.
        outputs: Number of output channels.
    """
    # Labels of void pixels may wrap around: they are not taken.
    narrow = np.uint16 if classes * outputs <= 1 << 16 else np.uint32
    pairs: npt.NDArray[Any] = labels.astype(narrow)
    pairs *= narrow(outputs)
    pairs += answer
    return np.bincount(pairs[valid], minlength=classes * outputs).reshape(classes, outputs)


def margins(counts: Counts) -> Counts:
    """``both``, ``labelled`` and ``answered`` of a confusion matrix, (3, classes)."""
    classes = len(counts)
    return np.stack([counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)[:classes]])


def ious(sums: npt.NDArray[Any]) -> Floats:
    """IoU of each class from margins, (..., 3, classes); NaN where no pixel is concerned."""
    both, labelled, answered = (sums[..., i, :].astype(np.float64) for i in range(3))
    union = labelled + answered - both
    found: Floats = np.divide(both, union, out=np.full(both.shape, np.nan), where=union > 0)
    return found


def counted(sums: npt.NDArray[Any], min_pixels: int) -> npt.NDArray[np.bool_]:
    """Which classes count in the mean, from margins, (..., 3, classes)."""
    found: npt.NDArray[np.bool_] = sums[..., 1, :] >= max(1, min_pixels)
    return found


def scores(sums: npt.NDArray[Any], which: npt.NDArray[np.bool_]) -> Floats:
    """Mean IoU over the classes ``which`` and pixel accuracy in percent, (..., 2).

    Args:
        sums: Margins, (..., 3, classes).
        which: (..., classes); where it names no class, the mean is 0.
    """
    mean = np.where(which, ious(sums), 0).sum(axis=-1) / np.maximum(which.sum(axis=-1), 1)
    right, labelled = (sums[..., i, :].sum(axis=-1).astype(np.float64) for i in (0, 1))
    percent: Floats = 100 * np.stack([mean, right / np.maximum(labelled, 1)], axis=-1)
    return percent


def resampled(margins_by_image: Counts, min_pixels: int) -> Floats:
    """Scores of bootstrap samples of the images, (RESAMPLES, 2); the draws are always the same.

    In each sample those classes count that count in all images and have ``min_pixels`` there, too:
    a class whose few images were not drawn has no IoU.

    Args:
        margins_by_image: (images, 3, classes).
        min_pixels: As for :func:`counted`.
    """
    flat = margins_by_image.reshape(len(margins_by_image), -1).astype(np.float64)
    always = counted(margins_by_image.sum(axis=0), min_pixels)
    drawn = []
    for weights in _weights(len(flat)):
        sums = (weights @ flat).reshape(-1, *margins_by_image.shape[1:])
        drawn.append(scores(sums, counted(sums, min_pixels) & always))
    return np.concatenate(drawn)


def estimates(values: Floats, samples: Floats) -> tuple[Estimate, ...]:
    """Values, (k,), with the 95 % intervals of their bootstrap samples, (RESAMPLES, k)."""
    return tuple(map(bootstrapped, values, samples.T))


def _weights(n: int) -> Iterator[Floats]:
    """How often each of n images is drawn in each sample, some samples at a time."""
    rng = np.random.default_rng(0)
    size = max(1, min(RESAMPLES, _CHUNK // n))
    for begin in range(0, RESAMPLES, size):
        samples = min(size, RESAMPLES - begin)
        yield rng.multinomial(n, np.full(n, 1 / n), size=samples).astype(np.float64)
