"""An evaluation divided between processes, on this machine or on a cluster.

A shard is a run of whole batches: networks that are quantized dynamically take ranges over a batch,
and other sums, too, may depend on its size. So the batches are those of one process, and what the
shards find is joined in the order of the images, see :mod:`spiq.evaluation.gathering`.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from spiq.engine.choose import opened
from spiq.engine.job import Ended, Engine, Job, Tell
from spiq.errors import ConfigError, SpiqError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data.batches import batches
from spiq.evaluation.gathering import Gathered, Part
from spiq.evaluation.runners import open_all
from spiq.evaluation.task import task_of
from spiq.runtime.engines import Model
from spiq.value_checks import at_least

_TRIES = {"died": 2, "lost": 5}
"""How often a shard is begun until the evaluation has failed, by what ended it."""

_PAUSE = 0.2
"""Seconds between two times that a shard says how far it is."""


@dataclass(frozen=True, kw_only=True)
class Division:
    """How an evaluation is divided."""

    on: str = "local"
    shards: int | None = None
    """None: as many as can be done at a time."""
    memory: int | None = None
    """Bytes of each process; None: not reckoned with."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Some images of a card, from ``begin`` to before ``end``, for all networks."""

    models: tuple[Model, ...]
    card: Card
    batch: int
    threads: int
    runtimes: tuple[str, ...]
    begin: int = 0
    end: int = 0


def gather_divided(
    gathered: Gathered,
    whole: Shard,
    division: Division,
    progress: Callable[[int, int], None],
) -> float:
    """Gather what all shards of ``whole`` find; return the seconds that they took, all together.

    Raises:
        ConfigError: There is no such cluster, ``shards`` is below 1, or a process died over and
            over again.
        SpiqError: Whatever a shard raises.
    """
    at_least(1, shards=division.shards)
    with opened(division.on, threads=whole.threads or None, memory=division.memory) as engine:
        jobs = _divided(replace(whole, threads=engine.threads), division.shards or engine.jobs)
        found = _Found(progress, whole.end)
        found.all(engine, jobs)
    for job in jobs:
        gathered.join(found.parts[job])
    return sum(found.seconds)


def evaluate_shard(shard: Shard, tell: Tell) -> None:
    """Gather what a shard's images say: a job."""
    begin, told = time.perf_counter(), 0.0
    task = task_of(shard.card)
    try:
        runners = open_all(
            shard.models, shard.card,
            gives=task.gives, threads=shard.threads, runtimes=shard.runtimes,
        )  # fmt: skip
        _, images = task.samples(shard.end, begin=shard.begin)
        gathered = Gathered.nothing(task, runners)
        for done in gathered.gather(batches(images, shard.card.input, size=shard.batch)):
            if (now := time.monotonic()) - told >= _PAUSE:
                told = now
                tell(done)
    except SpiqError as error:
        tell(error)
    else:
        tell((gathered.part(), time.perf_counter() - begin))


@dataclass
class _Found:
    progress: Callable[[int, int], None]
    total: int
    parts: dict[Job, Part] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    done: dict[Job, int] = field(default_factory=dict)
    ended: Counter[tuple[Job, str]] = field(default_factory=Counter)

    def all(self, engine: Engine, jobs: Sequence[Job]) -> None:
        """Do all shards; one whose process died, or whose machine is gone, is begun again."""
        waiting = deque(jobs)
        with closing(engine.attend(waiting)) as messages:
            for job, message in messages:
                if isinstance(message, Ended):
                    if job not in self.parts:
                        self._again(job, message)
                        waiting.append(job)
                else:
                    self._take(job, message)
                self.progress(sum(self.done.values()), self.total)

    def _take(self, job: Job, message: "int | SpiqError | tuple[Part, float]") -> None:
        if isinstance(message, SpiqError):
            raise message
        if isinstance(message, int):
            self.done[job] = message
            return
        self.parts[job], seconds = message
        self.seconds.append(seconds)
        self.done[job] = job.given.end - job.given.begin

    def _again(self, job: Job, ended: Ended) -> None:
        self.done.pop(job, None)
        self.ended[job, ended.cause] += 1
        if self.ended[job, ended.cause] >= _TRIES.get(ended.cause, 1):
            raise ConfigError(
                f"images {job.given.begin} to {job.given.end - 1} could not be evaluated: "
                f"{ended.problem or 'no result'}"
            )


def _divided(whole: Shard, shards: int) -> list[Job]:
    """Divide whole batches between at most so many shards, as evenly as can be."""
    chunks = math.ceil(whole.end / whole.batch)
    ends = [whole.batch * (chunks * i // min(shards, chunks)) for i in range(min(shards, chunks))]
    parts = zip(ends, [*ends[1:], whole.end], strict=True)
    return [Job(evaluate_shard, replace(whole, begin=begin, end=end)) for begin, end in parts]
