"""What of an evaluation a sweep keeps: the same few figures for every task, in percent and dB."""

from collections.abc import Mapping
from statistics import fmean

from spiq.evaluation.results import ClassificationScore, Estimate
from spiq.evaluation.tasks.detection.results import DetectionScore
from spiq.evaluation.tasks.segmentation_results import SegmentationScore
from spiq.sweep.results import SweepScore

Score = ClassificationScore | DetectionScore | SegmentationScore
Ratios = Mapping[str, float | None] | float | None


def sweep_score(
    score: Score, first: Score, *, images: int, output: str, seconds: float, size: int
) -> SweepScore:
    """Return what a sweep keeps of an evaluation.

    Args:
        score: Of the quantized network.
        first: Of the float network, with which it was compared.
        images: Number of evaluated images.
        output: Name of the output, for tasks that read only one.
        seconds: How long the quantization took.
        size: Bytes of the quantized network.
    """
    difference, agreement, ratios = _beside(score)
    snr_db = dict(ratios) if isinstance(ratios, Mapping) else {output: ratios}
    return SweepScore(
        images=images,
        value=_value(score),
        float_value=_value(first),
        difference=difference,
        agreement=agreement,
        snr_db=snr_db,
        worst_snr_db=min((x for x in snr_db.values() if x is not None), default=None),
        quantize_seconds=seconds,
        bytes=size,
    )


def _value(score: Score) -> Estimate:
    match score:
        case ClassificationScore():
            return score.top1
        case SegmentationScore():
            return score.miou
        case DetectionScore():
            return _percent(score.mAP50)


def _beside(score: Score) -> tuple[Estimate, float, Ratios]:
    """Return the difference from float, the agreement with it and the signal-to-noise ratios."""
    assert score.comparison is not None, "float itself has no comparison"
    match score:
        case ClassificationScore(comparison=other) if other is not None:
            return other.top1_difference, other.agreement, other.snr_db
        case SegmentationScore(comparison=other) if other is not None:
            return other.miou_difference, other.agreement, other.snr_db
        case DetectionScore(comparison=other) if other is not None:
            alike = 100.0 * (1.0 - fmean(other.disagreement))
            return _percent(other.mAP50_difference), alike, other.snr_db
    raise TypeError(f"no figures of {type(score).__name__}")


def _percent(share: Estimate) -> Estimate:
    return Estimate(value=100 * share.value, low=100 * share.low, high=100 * share.high)
