"""What a sweep of networks, methods and bit widths found, as plain frozen values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from spiq.evaluation.results import Estimate

METRICS = {"classification": "top-1 %", "detection": "mAP50 %", "segmentation": "mIoU %"}
"""What is measured, by task."""

METRIC_DIGITS, SNR_DIGITS = 2, 1
"""Decimals that are printed: what differs only beyond them is equally good."""


@dataclass(frozen=True, kw_only=True)
class SweepLatency:
    """The latency of a quantized network: one image, one thread, interleaved with float."""

    milliseconds: float
    float_milliseconds: float
    ratio: Estimate
    """Time over float's time of the same round."""


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


@dataclass(frozen=True, kw_only=True)
class SweepNetwork:
    """One network of a sweep, as float."""

    name: str
    task: str
    metric: str
    model: str
    card: str
    images: int | None = None
    """None here and below: no cell was done."""
    value: Estimate | None = None
    """The metric of the float network, in percent."""
    milliseconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What :func:`spiq.sweep.run.run` found."""

    version: str
    onnxruntime: str
    limit: int | None
    methods: tuple[str, ...]
    bits: tuple[str, ...]
    seconds: float
    measured: int
    """Cells that were not known from an earlier run."""
    networks: tuple[SweepNetwork, ...]
    cells: tuple[SweepCell, ...]
    """By network, bit width and method, in the order asked for."""
    notes: tuple[str, ...] = ()
    """What went wrong beside the cells, a line each."""


def best(values: Sequence[float | None], *, digits: int) -> list[bool]:
    """Say which of ``values`` are the greatest where they are printed with so many decimals.

    None stands for no value, which is never the best.
    """
    printed = [None if value is None else float(f"{value:.{digits}f}") for value in values]
    top = max((value for value in printed if value is not None), default=None)
    return [value is not None and value == top for value in printed]


def marked(cells: Sequence[SweepCell]) -> tuple[SweepCell, ...]:
    """Mark the best cells of each network and bit width."""
    rows: dict[tuple[str, str], list[SweepCell]] = {}
    for cell in cells:
        rows.setdefault((cell.network, cell.bits), []).append(cell)
    made = {}
    for row in rows.values():
        values = best([_value(cell) for cell in row], digits=METRIC_DIGITS)
        ratios = best([_ratio(cell) for cell in row], digits=SNR_DIGITS)
        for cell, first, second in zip(row, values, ratios, strict=True):
            made[id(cell)] = replace(cell, best=first, best_snr=second)
    return tuple(made[id(cell)] for cell in cells)


def _value(cell: SweepCell) -> float | None:
    return None if cell.score is None else cell.score.value.value


def _ratio(cell: SweepCell) -> float | None:
    if cell.score is None:
        return None
    return math.inf if cell.score.worst_snr_db is None else cell.score.worst_snr_db
