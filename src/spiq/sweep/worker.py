"""Quantizes and measures some cells of one network, in a process of its own.

    python -m spiq.sweep.worker      a pickled Job on stdin; pickled messages on stdout

All cells of a job are evaluated together, so that float runs once; where that fails, each is
evaluated alone, so that one cell's failure is its own.
"""

import os
import pickle
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from spiq import evaluation, pipeline
from spiq.errors import ConfigError, UnsupportedError
from spiq.evaluation import Card, latency
from spiq.evaluation.latency import LatencyScore
from spiq.io.write import write
from spiq.runtime.session import session
from spiq.sweep import store
from spiq.sweep.cells import Cell
from spiq.sweep.measures import (
    SweepLatency,
    SweepScore,
    sweep_score,
    with_score,
    without_score,
)
from spiq.sweep.messages import (
    Done,
    Job,
    Message,
    Step,
    Timed,
)

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


def work(job: Job, tell: Tell) -> None:
    """Do a job."""
    card = evaluation.read(job.subject.card)
    if job.timing:
        _time(job, card, tell)
        return
    made = [found for cell in job.cells if (found := _quantize(cell, card, tell)) is not None]
    if made:
        _evaluate(job, card, made, tell)


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


def _evaluate(job: Job, card: Card, made: list[_Made], tell: Tell) -> None:
    try:
        scores = _scores(job, card, made, tell)
    except Exception as error:  # as above
        if len(made) == 1:
            tell(Done(made[0].cell, without_score(made[0].cell, "failed", error)))
            return
        for one in made:
            _evaluate(job, card, [one], tell)
        return
    for one, score in zip(made, scores, strict=True):
        if job.keep_models:
            write(one.model, store.model_path(job.folder, one.cell))
        tell(Done(one.cell, with_score(one.cell, score)))


def _scores(job: Job, card: Card, made: list[_Made], tell: Tell) -> list[SweepScore]:
    subject = job.subject
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
        threads=job.threads,
        batch=1,
        progress=progress,
    )
    first, *others = found.models
    return [
        sweep_score(score, first, images=found.images, seconds=one.seconds, size=len(one.model))
        for one, score in zip(made, others, strict=True)
    ]


def _time(job: Job, card: Card, tell: Tell) -> None:
    """Measure the latency of all cells together with float."""
    model = job.subject.model
    models = [_quantized(cell, job.folder, card) for cell in job.cells]
    shape = (1, *card.input.shape)
    found = latency.compare(
        [model, *models],
        seconds=SECONDS * len(models),
        shapes={session(model, threads=1).get_inputs()[0].name: shape},
        progress=lambda done, total: tell(Step(f"time {_cells(len(models))}", done, total)),
    )
    first, *others = found.models
    for cell, score in zip(job.cells, others, strict=True):
        tell(Timed(cell, _latency(score, first)))
        store.model_path(job.folder, cell).unlink(missing_ok=True)


def _quantized(cell: Cell, folder: Path, card: Card) -> Path | bytes:
    """Return the network that the evaluation left, or make it again."""
    kept = store.model_path(folder, cell)
    if kept.is_file():
        return kept
    return pipeline.quantize(cell.subject.model, cell.config(card)).model


def _latency(score: LatencyScore, first: LatencyScore) -> SweepLatency:
    assert score.times_as_fast is not None, "only the first network is not compared"
    return SweepLatency(
        milliseconds=score.median_ms,
        float_milliseconds=first.median_ms,
        times_as_fast=score.times_as_fast,
    )


def _cells(number: int) -> str:
    return f"{number} cell{'s' if number > 1 else ''}"


def main() -> None:
    """Do the job on stdin; end quietly where nobody listens any more."""
    job: Job = pickle.load(sys.stdin.buffer)
    with suppress(BrokenPipeError), os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # libraries that print must not come between the messages

        def tell(message: Message) -> None:
            pickle.dump(message, out)
            out.flush()

        work(job, tell)


if __name__ == "__main__":
    main()
