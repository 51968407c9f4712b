"""What an evaluation of segmentation networks found, as plain frozen values."""

from dataclasses import dataclass

from spiq.evaluation.results import Estimate


@dataclass(frozen=True, kw_only=True)
class ClassIoU:
    """How well one class is found."""

    name: str
    iou: float | None
    """Percent; None where no pixel has or gets the class."""
    pixels: int
    """Pixels that have the label, in all images."""
    counted: bool
    """Whether it counts in the mean."""


@dataclass(frozen=True, kw_only=True)
class SegmentationComparison:
    """One network beside the first one, on the same images."""

    agreement: float
    """Percent of pixels to which both give the same class, void labels included."""
    snr_db: float | None
    """Signal-to-noise ratio of the logits; None where they are equal bit by bit."""
    miou_difference: Estimate
    """Mean IoU minus the first network's, in points; the interval is over paired images."""
    pixel_accuracy_difference: Estimate


@dataclass(frozen=True, kw_only=True)
class SegmentationScore:
    """How one network did."""

    model: str
    miou: Estimate
    """Percent, from one confusion matrix over all images; bootstrap interval over the images."""
    pixel_accuracy: Estimate
    classes: tuple[ClassIoU, ...]
    runtime_seconds: float
    """Seconds inside the runtime, all images."""
    images_per_second: float
    """Images per second of runtime."""
    comparison: SegmentationComparison | None = None
    """None for the first network."""


@dataclass(frozen=True, kw_only=True)
class SegmentationResult:
    """What :func:`spiq.evaluation.evaluate` found for a segmentation card."""

    card: str
    task: str
    dataset: str
    images: int
    batch: int
    threads: int
    """As asked for; 0 let the runtime choose."""
    seconds: float
    """All of it: reading images, preprocessing, every network."""
    models: tuple[SegmentationScore, ...]
    skipped: tuple[str, ...] = ()
    """A line for each image that could not be decoded and counts nowhere."""
