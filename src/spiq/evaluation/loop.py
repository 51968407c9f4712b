"""Several networks in one pass over the images of a card, by one process or divided into shards."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from spiq.errors import CardError, ConfigError
from spiq.evaluation.cards.read import Card, read
from spiq.evaluation.data.batches import batches
from spiq.evaluation.gathering import Gathered
from spiq.evaluation.runners import batch_size, open_all
from spiq.evaluation.shards import Division, Shard, gather_divided
from spiq.evaluation.task import Score, task_of
from spiq.runtime.engines import ONNXRUNTIME, Model
from spiq.runtime.timing import Progress

_UNLABELLED = (
    "the pictures have no labels: what the first network answers stands for them, so figures are "
    "agreement with it, not accuracy"
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What :func:`evaluate` found."""

    card: str
    task: str
    dataset: str
    images: int
    """Evaluated ones."""
    batch: int
    threads: int
    """As asked for; 0 let the runtime choose."""
    seconds: float
    """All of it: reading images, preprocessing, every network, scoring."""
    runtime_share: float
    """The part of it inside the runtime, from 0 to 1; of all processes' seconds, if several."""
    models: tuple[Score, ...]
    skipped: tuple[str, ...] = ()
    """A line for each image that could not be decoded and counts nowhere."""
    warnings: tuple[str, ...] = ()
    """Why the figures may mean nothing, a line each."""


def evaluate(
    models: Sequence[Model],
    card: Card | str | os.PathLike[str],
    *,
    limit: int | None = None,
    threads: int = 0,
    batch: int = 8,
    runtimes: Sequence[str] = (ONNXRUNTIME,),
    division: Division | None = None,
    progress: Progress | None = None,
) -> Result:
    """Measure ``models`` on the images of ``card``; the others are compared with the first.

    >>> import spiq
    >>> from spiq.demo import card_path, model_path
    >>> quantized = spiq.quantize(model_path())
    >>> result = spiq.evaluate([model_path(), quantized.model], card_path(), limit=20)
    >>> result.models[1].comparison.agreement > 80
    True

    Args:
        models: Paths or bytes of ONNX files.
        card: A card or its path.
        limit: Only that many images, from the first on.
        threads: Threads of the runtime; 0 lets it choose.
        batch: Images per call, fewer where images are large; a batch size that a network fixes
            takes its place. Use 1 where a network is quantized dynamically: its ranges are taken
            over the whole batch.
        runtimes: Names of the runtimes, see :mod:`spiq.runtime.engines`: each network is measured
            in each of them.
        division: Divide the images between processes, here or on a cluster; the figures are the
            same. None: this process does it all.
        progress: Called with images done and images in all.

    Raises:
        CardError: The card is wrong, its data set is not as it says, or a network does not fit it.
        ModelError: A network cannot be loaded or run.
        ConfigError: An option makes no sense, or a library that the task needs is missing.
    """
    if isinstance(models, str | bytes | os.PathLike):
        raise ConfigError("models is a single network: give a list, [network]")
    begin = time.perf_counter()
    card = card if isinstance(card, Card) else read(card)
    task = task_of(card)

    runners = open_all(models, card, gives=task.gives, threads=threads, runtimes=runtimes)
    size = batch_size(runners, min(batch, task.most))
    total, images = task.samples(limit)
    run, tell = Gathered.nothing(task, runners), progress or _silent
    if division is None:
        for done in run.gather(batches(images, card.input, size=size)):
            tell(done, total)
        took = time.perf_counter() - begin
    else:
        whole = Shard(
            models=tuple(models), card=card, batch=size, threads=threads,
            runtimes=tuple(runtimes), end=total,
        )  # fmt: skip
        took = gather_divided(run, whole, division, tell)
    if not run.images:
        raise CardError(f"{card.path}: none of {total} images can be decoded; {run.skipped[0]}")

    scores = task.scores(run.ran)
    hindsight = _UNLABELLED if card.dataset.layout == "pictures" else task.hindsight(run.ran)
    return Result(
        card=card.name,
        task=card.task,
        dataset=card.dataset.name or card.dataset.dir.name,
        images=run.images,
        batch=size,
        threads=threads,
        seconds=time.perf_counter() - begin,
        runtime_share=min(1.0, sum(runner.seconds for runner in runners) / took),
        models=scores,
        skipped=tuple(run.skipped),
        warnings=(*run.doubts, *([hindsight] if hindsight else [])),
    )


def _silent(done: int, total: int) -> None:
    """Report no progress."""
