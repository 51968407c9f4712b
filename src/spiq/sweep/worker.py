"""Quantizes and measures some cells of one network: the jobs of a sweep.

All cells of a share are evaluated together, so that float runs once; where that fails, each is
evaluated alone, so that one cell's failure is its own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from spiq import evaluation, pipeline
from spiq.errors import ConfigError, UnsupportedError
from spiq.evaluation import Card, latency
from spiq.evaluation.latency import LatencyScore
from spiq.runtime.session import session
from spiq.sweep.cells import Cell
from spiq.sweep.measures import (
    SweepLatency,
    SweepScore,
    sweep_score,
    with_score,
    without_score,
)
from spiq.sweep.messages import Done, Message, Share, Step, Timed

SECONDS = 1.0
"""Of latency measurement, per cell."""

_PAUSE = 0.1
"""Seconds between two steps that are told: an evaluation goes on image by image."""

Tell = Callable[[Message], None]


@dataclass(frozen=True)
class _Made:
    """A quantized network."""

    cell: Cell
    model: bytes
    seconds: float


def measure(share: Share, tell: Tell) -> None:
    """Quantize and evaluate cells."""
    card = evaluation.read(share.subject.card)
    made = [found for cell in share.cells if (found := _quantize(cell, card, tell)) is not None]
    if made:
        _evaluate(share, card, made, tell)


def time_all(share: Share, tell: Tell) -> None:
    """Measure the latency of cells that are done, all together with float."""
    card = evaluation.read(share.subject.card)
    model = share.subject.model
    models = [_quantized(cell, share, card) for cell in share.cells]
    found = latency.compare(
        [model, *models],
        seconds=SECONDS * len(models),
        shapes={session(model, threads=1).get_inputs()[0].name: (1, *card.input.shape)},
        progress=lambda done, total: tell(Step(f"time {_cells(len(models))}", done, total)),
    )
    first, *others = found.models
    for cell, score in zip(share.cells, others, strict=True):
        tell(Timed(cell, _latency(score, first)))


def _quantize(cell: Cell, card: Card, tell: Tell) -> _Made | None:
    """Quantize for a cell; where that fails, tell it and return None."""
    where = f"{cell.method} {cell.bits}"
    try:
        found = pipeline.quantize(
            cell.subject.model,
            cell.config(card),
            progress=lambda step: tell(Step(f"{where}, {step}")),
        )
    except (ConfigError, UnsupportedError) as error:
        tell(Done(cell, without_score(cell, "refused", error)))
    except Exception as error:  # a bug in a method is that cell's failure, not the sweep's
        tell(Done(cell, without_score(cell, "failed", error)))
    else:
        return _Made(cell, found.model, found.report.seconds)
    return None


def _evaluate(share: Share, card: Card, made: list[_Made], tell: Tell) -> None:
    try:
        scores = _scores(share, card, made, tell)
    except Exception as error:  # as above
        if len(made) == 1:
            tell(Done(made[0].cell, without_score(made[0].cell, "failed", error)))
            return
        for one in made:
            _evaluate(share, card, [one], tell)
        return
    for one, score in zip(made, scores, strict=True):
        kept = one.model if share.keep_models else None
        tell(Done(one.cell, with_score(one.cell, score), kept))


def _scores(share: Share, card: Card, made: list[_Made], tell: Tell) -> list[SweepScore]:
    subject = share.subject
    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if (now := time.monotonic()) - told >= _PAUSE:
            told = now
            tell(Step(f"evaluate {_cells(len(made))}", done, total))

    # One image at a time: networks that are quantized dynamically take ranges over a whole batch.
    found = evaluation.evaluate(
        [subject.model, *(one.model for one in made)],
        card,
        limit=subject.limit,
        threads=share.threads,
        batch=1,
        progress=progress,
    )
    first, *others = found.models
    return [
        sweep_score(score, first, images=found.images, seconds=one.seconds, size=len(one.model))
        for one, score in zip(made, others, strict=True)
    ]


def _quantized(cell: Cell, share: Share, card: Card) -> bytes:
    """Return the network that the evaluation left, or make it again."""
    kept = share.models.get(cell)
    return pipeline.quantize(cell.subject.model, cell.config(card)).model if kept is None else kept


def _latency(score: LatencyScore, first: LatencyScore) -> SweepLatency:
    assert score.times_as_fast is not None, "only the first network is not compared"
    return SweepLatency(
        milliseconds=score.median_ms,
        float_milliseconds=first.median_ms,
        times_as_fast=score.times_as_fast,
    )


def _cells(number: int) -> str:
    return f"{number} cell{'s' if number > 1 else ''}"
