"""What a sweep keeps of a cell: the same few figures for every task, in percent and dB."""

import math
from dataclasses import dataclass

from spiq.errors import SpiqError
from spiq.evaluation.estimates import Estimate
from spiq.evaluation.task import Score
from spiq.sweep.cells import Cell


@dataclass(frozen=True, kw_only=True)
class SweepLatency:
    """The latency of a quantized network: one image, one thread, interleaved with float."""

    milliseconds: float
    float_milliseconds: float
    times_as_fast: Estimate
    """As float: its median time over this one's, in the same rounds; above 1 is faster."""


@dataclass(frozen=True, kw_only=True)
class SweepScore:
    """How one quantized network did on the images of its card."""

    images: int
    value: Estimate
    """The metric of the task, in percent."""
    float_value: Estimate
    """The float network's on the same images."""
    difference: Estimate
    """Metric minus float's, in points; the interval is over the same images."""
    agreement: float
    """Percent of answers (classification), pixels (segmentation) or boxes (detection, mean over
    the images) that are the float network's."""
    snr_db: dict[str, float | None]
    """Signal-to-noise ratio of each output; None where it is float's bit by bit."""
    worst_snr_db: float | None
    """Of the outputs' ratios the lowest; None where all are float's bit by bit."""
    quantize_seconds: float
    bytes: int
    latency: SweepLatency | None = None
    """None: not measured."""


@dataclass(frozen=True, kw_only=True)
class SweepCell:
    """One network, quantized by one method to one bit width."""

    network: str
    method: str
    weight_bits: int
    activation_bits: int
    state: str
    """``done``; ``refused``: the method cannot do that; ``failed``: something else is wrong."""
    reason: str = ""
    """Why there is no score, in one line."""
    score: SweepScore | None = None
    best: bool = False
    """Whether no method has a better metric at this network and bit width, as printed."""
    best_snr: bool = False
    """Likewise for the signal-to-noise ratio of the worst output."""

    @property
    def bits(self) -> str:
        """The bit width, as in W8A8."""
        return f"W{self.weight_bits}A{self.activation_bits}"


def sweep_score(
    score: Score, first: Score, *, images: int, seconds: float, size: int
) -> SweepScore:
    """Return what a sweep keeps of an evaluation.

    Args:
        score: Of the quantized network.
        first: Of the float network, with which it was compared.
        images: Number of evaluated images.
        seconds: How long the quantization took.
        size: Bytes of the quantized network.
    """
    other = score.comparison
    assert other is not None, "float itself has no comparison"
    found = [ratio for ratio in other.snr_db.values() if ratio is not None]
    ratios = [ratio for ratio in found if not math.isnan(ratio)] or found
    return SweepScore(
        images=images,
        value=score.metric,
        float_value=first.metric,
        difference=other.difference,
        agreement=other.agreement,
        snr_db=dict(other.snr_db),
        worst_snr_db=min(ratios, default=None),
        quantize_seconds=seconds,
        bytes=size,
    )


def with_score(cell: Cell, score: SweepScore) -> SweepCell:
    """Return the result of a cell that was done."""
    return _result(cell, "done", "", score)


def without_score(cell: Cell, state: str, error: Exception | str) -> SweepCell:
    """Return the result of a cell that has a reason instead of a score, in one line."""
    text = " ".join(str(error).split()).removeprefix("model 2: ")
    if isinstance(error, Exception) and not isinstance(error, SpiqError):
        text = f"{type(error).__name__}: {text}"
    return _result(cell, state, text, None)


def _result(cell: Cell, state: str, reason: str, score: SweepScore | None) -> SweepCell:
    return SweepCell(
        network=cell.subject.name,
        method=cell.method,
        weight_bits=cell.bits.weight,
        activation_bits=cell.bits.activation,
        state=state,
        reason=reason,
        score=score,
    )
