"""What a sweep found: its cells put together, and the best of them marked."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from spiq.evaluation.estimates import Estimate
from spiq.evaluation.task import METRICS
from spiq.sweep.cells import Subject
from spiq.sweep.measures import SweepCell

METRIC_DIGITS, SNR_DIGITS = 2, 1
"""Decimals that are printed: what differs only beyond them is equally good."""


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


def network(subject: Subject, results: Iterable[SweepCell]) -> SweepNetwork:
    """Return what the cells of a network say of it as float."""
    scores = [x.score for x in results if x.network == subject.name and x.score is not None]
    times = [x.latency.float_milliseconds for x in scores if x.latency is not None]
    return SweepNetwork(
        name=subject.name,
        task=subject.task,
        metric=METRICS[subject.task],
        model=str(subject.model),
        card=str(subject.card),
        images=scores[0].images if scores else None,
        value=scores[0].float_value if scores else None,
        milliseconds=median(times) if times else None,
    )


def best(values: Sequence[float | None], *, digits: int) -> list[bool]:
    """Say which of ``values`` are the greatest where they are printed with so many decimals.

    None and NaN stand for no value, which is never the best.
    """
    printed = [
        None if value is None or math.isnan(value) else float(f"{value:.{digits}f}")
        for value in values
    ]
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
        ratios = best([_snr(cell) for cell in row], digits=SNR_DIGITS)
        for cell, first, second in zip(row, values, ratios, strict=True):
            made[id(cell)] = replace(cell, best=first, best_snr=second)
    return tuple(made[id(cell)] for cell in cells)


def _value(cell: SweepCell) -> float | None:
    return None if cell.score is None else cell.score.value.value


def _snr(cell: SweepCell) -> float | None:
    if cell.score is None:
        return None
    return math.inf if cell.score.worst_snr_db is None else cell.score.worst_snr_db
