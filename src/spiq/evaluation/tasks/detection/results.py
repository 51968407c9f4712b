"""What an evaluation of detection networks found, as plain frozen values."""

from dataclasses import dataclass

from spiq.evaluation.results import Estimate


@dataclass(frozen=True, kw_only=True)
class DetectionComparison:
    """One network beside the first one, on the same images."""

    snr_db: dict[str, float | None]
    """Signal-to-noise ratio of each output tensor; None where they are equal bit by bit."""
    mAP50_difference: Estimate
    """mAP50 minus the first network's; both are measured on the same draws of images."""
    mAP_difference: Estimate
    disagreement: tuple[float, ...]
    """Of each evaluated image, from 0 (equal boxes) to 1 (no box in common)."""


@dataclass(frozen=True, kw_only=True)
class DetectionScore:
    """How one network did; average precisions are means over the classes, from 0 to 1."""

    model: str
    mAP50: Estimate
    """COCO's at IoU 0.5, with its bootstrap interval over the images."""
    mAP: Estimate
    """COCO's mean over IoU 0.5, 0.55, ..., 0.95."""
    voc_mAP50: Estimate
    """At IoU 0.5 with VOC's rule: the whole area below the curve."""
    detections: int
    """Boxes in all images."""
    runtime_seconds: float
    """Seconds inside the runtime, all images."""
    images_per_second: float
    """Images per second of runtime."""
    comparison: DetectionComparison | None = None
    """None for the first network."""


@dataclass(frozen=True, kw_only=True)
class DetectionResult:
    """What :func:`spiq.evaluation.evaluate` found for a detection card."""

    card: str
    task: str
    dataset: str
    images: int
    """Evaluated ones."""
    boxes: int
    """Labelled boxes to be found in them."""
    batch: int
    threads: int
    """As asked for; 0 let the runtime choose."""
    seconds: float
    """All of it: reading images, preprocessing, every network, matching."""
    runtime_share: float
    """The part of it inside the runtime, from 0 to 1."""
    names: tuple[str, ...]
    """Of the evaluated images, in order."""
    skipped: tuple[str, ...]
    """A line for each image that cannot be decoded."""
    models: tuple[DetectionScore, ...]
