"""Measure what is missing in a sweep, and put together what is known.

    known cells     from the place of results
    missing cells   in shares of a few cells of one network, several jobs at a time
    latency         of done cells where it is missing, afterwards, on this machine, one at a time

Float is evaluated once per share: with the cells of a network divided between as few shares as keep
all processes busy. What each job finds comes here and is written here, cell by cell, so that
nothing is there twice, and what is lost with a job or a machine is only what was not found yet.
"""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import onnxruntime as ort

import spiq
from spiq.engine.choose import LOCAL, opened
from spiq.engine.job import Ended, Engine, Job
from spiq.sweep.cells import Bits, Cell, Subject, cells
from spiq.sweep.measures import SweepCell, without_score
from spiq.sweep.messages import Done, Share, Step, Timed
from spiq.sweep.places import place
from spiq.sweep.store import Store
from spiq.sweep.summary import SweepResult, marked, network
from spiq.sweep.worker import measure, time_all
from spiq.value_checks import at_least

SHARE = 8
"""Cells of a share, at most: networks in memory at a time, and what an interruption may lose."""

_SPREAD = 2
"""Shares per process, at least, where there are cells enough: they take unequally long."""

_DEATHS = 2
"""Processes that a cell may end, the last of them alone, until it has failed: one may have been
ended by something else."""

_LOSSES = 5
"""Machines that may go from under a cell until it has failed."""


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
    on: str = LOCAL,
    jobs: int | None = None,
    threads: int | None = None,
    memory: int | None = None,
    latency: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> SweepResult:
    """Quantize and evaluate every network by every method at every bit width.

    Args:
        networks: As :func:`spiq.sweep.cells.subjects` returns them.
        methods: Names of methods.
        bits: Bit widths.
        folder: Where results are kept, a folder or the address of one that fsspec reaches. A cell
            that is there, and not stale, is not run again.
        on: ``local``, ``auto`` or ``ray://HOST:PORT``, see :func:`spiq.engine.choose.opened`.
        jobs: Processes at a time; None: as many as there are CPUs for.
        threads: Of each process; None: as many as leave no CPU idle.
        memory: Bytes that each process may take; None: not reckoned with.
        latency: Measure latency, too.
        force: Run every cell again.
        progress: Told of every step.

    Raises:
        ConfigError: ``jobs``, ``threads`` or ``memory`` is below 1, or there is no such cluster.
        OutputError: The folder cannot be written to.
    """
    begin, tell = time.perf_counter(), progress or (lambda _: None)
    at_least(1, jobs=jobs, threads=threads, memory=memory)
    store, wanted = Store(place(folder)), cells(networks, methods, bits)
    found = {} if force else store.load(wanted)
    known = {cell: result for cell, result in found.items() if result.state != "failed"}

    missing = [cell for cell in wanted if cell not in known]
    if missing:
        with opened(on, jobs=jobs, threads=threads, memory=memory) as engine:
            _Measuring(store, known, keep_models=latency).all(missing, engine, tell)
    untimed = [cell for cell in wanted if _untimed(known[cell])] if latency else []
    notes = _time(untimed, known, store, tell)

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


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """How often the job of a cell ended without a result of it."""

    deaths: int = 0
    losses: int = 0

    def and_then(self, ended: Ended) -> "_Tried":
        died, lost = ended.cause == "died", ended.cause == "lost"
        return _Tried(deaths=self.deaths + died, losses=self.losses + lost)

    def enough(self, ended: Ended) -> bool:
        """Whether the cell, alone in its job, has failed."""
        limits = {"died": self.deaths >= _DEATHS, "lost": self.losses >= _LOSSES}
        return limits.get(ended.cause, True)


@dataclass(frozen=True)
class _Measuring:
    """Cells that are quantized and evaluated; what comes of each is remembered, once."""

    store: Store
    known: dict[Cell, SweepCell]
    keep_models: bool = field(kw_only=True)
    tried: dict[Cell, _Tried] = field(default_factory=dict)

    def all(self, missing: Sequence[Cell], engine: Engine, tell: Progress) -> None:
        """Do all cells."""
        waiting = deque(self._job(part, engine.threads) for part in _shares(missing, engine.jobs))

        def take(job: Job, message: Done | Ended) -> int:
            if isinstance(message, Done):
                if message.cell in self.known:
                    return 0
                if message.model is not None:
                    self.store.keep_model(message.cell, message.model)
                return self._keep(message.cell, message.result)
            return self._after(job.given, message, waiting)

        _work_off("cells", engine, waiting, len(missing), take, tell)

    def _after(self, share: Share, ended: Ended, waiting: deque[Job]) -> int:
        """Have cells done again that a job has left, or give them up; return how many of these."""
        left, given_up = [cell for cell in share.cells if cell not in self.known], 0
        for cell in left:
            self.tried[cell] = self.tried.get(cell, _Tried()).and_then(ended)
        if ended.cause == "lost" and len(left) > 1:
            waiting.append(self._job(left, share.threads))
            return 0
        for cell in left:  # which of them it was shows when each is alone
            if len(share.cells) == 1 and self.tried[cell].enough(ended):
                problem = ended.problem or "no result"
                given_up += self._keep(cell, without_score(cell, "failed", problem))
            else:
                waiting.append(self._job((cell,), share.threads))
        return given_up

    def _keep(self, cell: Cell, result: SweepCell) -> int:
        self.known[cell] = result
        self.store.save(cell, result)
        return 1

    def _job(self, some: Sequence[Cell], threads: int) -> Job:
        return Job(measure, Share(cells=tuple(some), threads=threads, keep_models=self.keep_models))


def _time(
    untimed: Sequence[Cell], known: dict[Cell, SweepCell], store: Store, tell: Progress
) -> list[str]:
    """Measure the latency of done cells, nothing else running; return what went wrong."""
    notes: list[str] = []

    def take(job: Job, message: Timed | Ended) -> int:
        if isinstance(message, Timed):
            result = known[message.cell]
            assert result.score is not None, "only done cells are timed"
            score = replace(result.score, latency=message.latency)
            known[message.cell] = replace(result, score=score)
            store.save(message.cell, known[message.cell])
            store.drop_model(message.cell)
            return 1
        if message.problem:
            name = job.given.subject.name
            notes.append(f"{name}: latency was not measured: {message.problem}")
        return 0

    done = 0
    with opened(LOCAL, jobs=1) as engine:
        for part in _shares(untimed, 1):
            kept = {cell: model for cell in part if (model := store.model(cell)) is not None}
            job = Job(time_all, Share(cells=part, models=kept))
            done = _work_off("latency", engine, deque([job]), len(untimed), take, tell, done)
    return notes


def _work_off(
    phase: str,
    engine: Engine,
    waiting: deque[Job],
    total: int,
    take: Callable[[Job, Any], int],
    tell: Progress,
    done: int = 0,
) -> int:
    """Do all jobs; ``take`` what comes of each, and return how many cells are then done."""
    running = dict[Job, Step]()

    def show() -> None:
        steps = tuple((job.given.subject.name, step) for job, step in running.items())
        tell(SweepProgress(phase=phase, done=done, total=total, running=steps))

    show()
    with closing(engine.attend(waiting)) as messages:
        for job, message in messages:
            if isinstance(message, Step):
                running[job] = message
            else:
                if isinstance(message, Ended):
                    running.pop(job, None)
                done += take(job, message)
            show()
    return done


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
