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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import onnxruntime as ort

import spiq
from spiq.errors import ConfigError
from spiq.sweep import store
from spiq.sweep.cells import Bits, Cell, Subject, cells
from spiq.sweep.messages import Done, Step, Task, Timed, without_score
from spiq.sweep.processes import Ended, attend
from spiq.sweep.results import METRICS, SweepCell, SweepLatency, SweepNetwork, SweepResult, marked

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
    jobs = cpus if jobs is None else jobs
    if jobs < 1:
        raise ConfigError(f"jobs is {jobs}: it must be at least 1")
    place, wanted = store.prepare(Path(folder)), cells(networks, methods, bits)
    found = {} if force else {cell: store.load(place, cell) for cell in wanted}
    known = {cell: result for cell, result in found.items() if result and result.state != "failed"}
    missing, tell = [cell for cell in wanted if cell not in known], progress or (lambda _: None)
    task = Task(cells=(), folder=place, threads=max(1, cpus // jobs), keep_models=latency)
    _evaluate(missing, known, task, jobs, tell)
    notes = _time([x for x in wanted if _untimed(known[x])], known, task, tell) if latency else []
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
        networks=tuple(_network(subject, results) for subject in networks),
        cells=results,
        notes=tuple(notes),
    )


@dataclass(kw_only=True)
class _Board:
    """What is told of a phase."""

    phase: str
    total: int
    tell: Progress
    done: int = 0
    running: dict[Task, Step] = field(default_factory=dict)

    def show(self) -> None:
        steps = tuple((task.subject.name, step) for task, step in self.running.items())
        self.tell(SweepProgress(phase=self.phase, done=self.done, total=self.total, running=steps))


def _evaluate(
    missing: Sequence[Cell], known: dict[Cell, SweepCell], task: Task, jobs: int, tell: Progress
) -> None:
    """Quantize and evaluate cells; remember and add to ``known`` what comes of each."""
    board = _Board(phase="cells", total=len(missing), tell=tell)
    waiting = deque(replace(task, cells=share) for share in _shares(missing, jobs))
    board.show()
    with closing(attend(waiting, jobs=jobs)) as messages:
        for running, message in messages:
            match message:
                case Step():
                    board.running[running] = message
                case Done(cell, result):
                    store.save(task.folder, cell, result)
                    known[cell] = result
                    board.done += 1
                case Ended(problem):
                    board.running.pop(running, None)
                    left = [cell for cell in running.cells if cell not in known]
                    if len(running.cells) > 1:  # which of them it was shows when each is alone
                        waiting.extend(replace(task, cells=(cell,)) for cell in left)
                        continue
                    for cell in left:
                        known[cell] = without_score(cell, "failed", problem or "no result")
                        store.save(task.folder, cell, known[cell])
                        board.done += 1
            board.show()


def _time(
    untimed: Sequence[Cell], known: dict[Cell, SweepCell], task: Task, tell: Progress
) -> list[str]:
    """Measure the latency of done cells, nothing else running; return what went wrong."""
    notes = []
    board = _Board(phase="latency", total=len(untimed), tell=tell)
    waiting = deque(replace(task, cells=share, timing=True) for share in _shares(untimed, 1))
    board.show()
    with closing(attend(waiting, jobs=1)) as messages:
        for running, message in messages:
            match message:
                case Step():
                    board.running[running] = message
                case Timed(cell, latency):
                    known[cell] = _with_latency(known[cell], latency)
                    store.save(task.folder, cell, known[cell])
                    board.done += 1
                case Ended(problem):
                    board.running.pop(running, None)
                    if problem:
                        notes.append(f"{running.subject.name}: latency was not measured: {problem}")
            board.show()
    return notes


def _untimed(result: SweepCell) -> bool:
    return result.score is not None and result.score.latency is None


def _with_latency(result: SweepCell, latency: SweepLatency) -> SweepCell:
    assert result.score is not None, "only done cells are timed"
    return replace(result, score=replace(result.score, latency=latency))


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


def _network(subject: Subject, results: Iterable[SweepCell]) -> SweepNetwork:
    """Return what is known of the float network."""
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


def _cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
