"""Measure what is missing in a sweep, and put together what is known.

    known cells     from the folder of results
    missing cells   in shares of a few cells of one network, several processes at a time
    latency         of done cells where it is missing, afterwards, one process at a time

Float is evaluated once per share: with the cells of a network divided between as few shares as keep
all processes busy.
"""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import onnxruntime as ort

import spiq
from spiq.config import at_least_one
from spiq.sweep import store
from spiq.sweep.cells import Bits, Cell, Subject, cells
from spiq.sweep.measures import SweepCell, without_score
from spiq.sweep.messages import Done, Job, Step, Timed
from spiq.sweep.processes import Ended, attend
from spiq.sweep.summary import SweepResult, marked, network

SHARE = 8
"""Cells of a share, at most: networks in memory at a time, and what an interruption may lose."""

_SPREAD = 2
"""Shares per process, at least, where there are cells enough: they take unequally long."""


@dataclass(frozen=True, kw_only=True)
class SweepProgress:
    """How far a sweep is."""

    phase: str
    """``cells`` or ``latency``."""
    done: int
    total: int
    running: tuple[tuple[str, Step], ...]
    """Network and step of each process."""


Progress = Callable[[SweepProgress], None]


def run(
    networks: Sequence[Subject],
    methods: Sequence[str],
    bits: Sequence[Bits],
    *,
    folder: str | os.PathLike[str],
    jobs: int | None = None,
    latency: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> SweepResult:
    """Quantize and evaluate every network by every method at every bit width.

    Args:
        networks: As :func:`spiq.sweep.cells.subjects` returns them.
        methods: Names of methods.
        bits: Bit widths.
        folder: Where results are kept. A cell that is there, and not stale, is not run again.
        jobs: Processes at a time; None: as many as there are CPUs.
        latency: Measure latency, too.
        force: Run every cell again.
        progress: Told of every step.

    Raises:
        ConfigError: ``jobs`` is below 1.
        OutputError: The folder cannot be written to.
    """
    begin, cpus = time.perf_counter(), _cpus()
    at_least_one(jobs=jobs)
    jobs, tell = jobs or cpus, progress or (lambda _: None)
    place, wanted = store.prepare(Path(folder)), cells(networks, methods, bits)
    found = {} if force else {cell: store.load(place, cell) for cell in wanted}
    known = {cell: result for cell, result in found.items() if result and result.state != "failed"}

    missing = [cell for cell in wanted if cell not in known]
    blank = Job(cells=(), folder=place, threads=max(1, cpus // jobs), keep_models=latency)
    _evaluate(missing, known, blank, jobs, tell)
    untimed = [cell for cell in wanted if _untimed(known[cell])] if latency else []
    notes = _time(untimed, known, replace(blank, timing=True), tell)
    store.tidy(place)

    results = marked([known[cell] for cell in wanted])
    return SweepResult(
        version=spiq.__version__,
        onnxruntime=ort.__version__,
        limit=networks[0].limit if networks else None,
        methods=tuple(methods),
        bits=tuple(map(str, bits)),
        seconds=time.perf_counter() - begin,
        measured=len(missing),
        networks=tuple(network(subject, results) for subject in networks),
        cells=results,
        notes=tuple(notes),
    )


def _evaluate(
    missing: Sequence[Cell], known: dict[Cell, SweepCell], blank: Job, jobs: int, tell: Progress
) -> None:
    """Quantize and evaluate cells; remember and add to ``known`` what comes of each."""
    waiting = deque(replace(blank, cells=share) for share in _shares(missing, jobs))

    def keep(cell: Cell, result: SweepCell) -> int:
        known[cell] = result
        store.save(blank.folder, cell, result)
        return 1

    def take(job: Job, message: Done | Timed | Ended) -> int:
        if isinstance(message, Done):
            return keep(message.cell, message.result)
        left = [cell for cell in job.cells if cell not in known]
        if len(job.cells) > 1:  # which of them it was shows when each is alone
            waiting.extend(replace(blank, cells=(cell,)) for cell in left)
            return 0
        problem = getattr(message, "problem", "") or "no result"
        return sum(keep(cell, without_score(cell, "failed", problem)) for cell in left)

    _work_off("cells", waiting, jobs, len(missing), take, tell)


def _time(
    untimed: Sequence[Cell], known: dict[Cell, SweepCell], blank: Job, tell: Progress
) -> list[str]:
    """Measure the latency of done cells, nothing else running; return what went wrong."""
    notes: list[str] = []

    def take(job: Job, message: Done | Timed | Ended) -> int:
        if isinstance(message, Timed):
            result = known[message.cell]
            assert result.score is not None, "only done cells are timed"
            score = replace(result.score, latency=message.latency)
            known[message.cell] = replace(result, score=score)
            store.save(blank.folder, message.cell, known[message.cell])
            return 1
        if problem := getattr(message, "problem", ""):
            notes.append(f"{job.subject.name}: latency was not measured: {problem}")
        return 0

    if untimed:
        waiting = deque(replace(blank, cells=share) for share in _shares(untimed, 1))
        _work_off("latency", waiting, 1, len(untimed), take, tell)
    return notes


def _work_off(
    phase: str,
    waiting: deque[Job],
    jobs: int,
    total: int,
    take: Callable[[Job, Done | Timed | Ended], int],
    tell: Progress,
) -> None:
    """Do all jobs; ``take`` what comes of each, and return how many cells are then done."""
    done, running = 0, dict[Job, Step]()

    def show() -> None:
        steps = tuple((job.subject.name, step) for job, step in running.items())
        tell(SweepProgress(phase=phase, done=done, total=total, running=steps))

    show()
    with closing(attend(waiting, jobs=jobs)) as messages:
        for job, message in messages:
            if isinstance(message, Step):
                running[job] = message
            else:
                if isinstance(message, Ended):
                    running.pop(job, None)
                done += take(job, message)
            show()


def _untimed(result: SweepCell) -> bool:
    return result.score is not None and result.score.latency is None


def _shares(wanted: Sequence[Cell], jobs: int) -> Iterator[tuple[Cell, ...]]:
    """Divide cells: each share of one network, and enough shares for all processes."""
    size = min(SHARE, max(1, math.ceil(len(wanted) / (_SPREAD * jobs))))
    by_network: dict[Subject, list[Cell]] = {}
    for cell in wanted:
        by_network.setdefault(cell.subject, []).append(cell)
    for every in by_network.values():
        parts = math.ceil(len(every) / size)
        for part in range(parts):
            yield tuple(every[part::parts])


def _cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
