"""What an evaluation and a latency comparison found, as plain frozen values."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measured value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ClassificationComparison:
    """One network beside the first one, on the same images."""

    agreement: float
    """Percent of images to which both give the same top-1 answer."""
    snr_db: float | None
    """Signal-to-noise ratio of the logits; None where they are equal bit by bit."""
    top1_difference: Estimate
    """Top-1 minus the first network's, in points; the interval is over paired images."""


@dataclass(frozen=True, kw_only=True)
class ClassificationScore:
    """How one network did."""

    model: str
    top1: Estimate
    """Percent, with the Wilson interval."""
    top5: Estimate
    runtime_seconds: float
    """Seconds inside the runtime, all images."""
    images_per_second: float
    """Images per second of runtime."""
    comparison: ClassificationComparison | None = None
    """None for the first network."""


@dataclass(frozen=True, kw_only=True)
class ClassificationResult:
    """What :func:`spiq.evaluation.evaluate` found for a classification card."""

    card: str
    task: str
    dataset: str
    images: int
    batch: int
    threads: int
    """As asked for; 0 let the runtime choose."""
    seconds: float
    """All of it: reading images, preprocessing, every network."""
    models: tuple[ClassificationScore, ...]
    skipped: tuple[str, ...] = ()
    """A line for each image that could not be decoded and counts nowhere."""


@dataclass(frozen=True, kw_only=True)
class LatencyScore:
    """The latency of one network."""

    model: str
    median_ms: float
    p90_ms: float
    calls_per_round: int
    """A round's time is the mean of that many calls."""
    ratio: Estimate | None = None
    """Time over the first network's time of the same round: the median over the rounds (below 1:
    faster), with its bootstrap interval; None for the first network."""


@dataclass(frozen=True, kw_only=True)
class LatencyResult:
    """What :func:`spiq.evaluation.latency.compare` found."""

    rounds: int
    threads: int
    batch: int
    seconds: float
    models: tuple[LatencyScore, ...]
