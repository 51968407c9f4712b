"""Several networks in one pass over the images of a card.

Each batch is read and preprocessed once and then goes through every network:

    read ahead          run                        take in
    a thread      ->    every network       ->     a thread: answers, tallies
                        one after the other

What is taken in waits for its turn, since reading and decoding keep the runtime waiting otherwise.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from spiq.errors import CardError, ConfigError
from spiq.evaluation.cards.read import Card, read
from spiq.evaluation.data.batches import Batch, batches
from spiq.evaluation.runners import Floats, Model, batch_size, open_all
from spiq.evaluation.task import Noise, Ran, Score, Task, labels_of, task_of
from spiq.runtime.engines import ONNXRUNTIME

_WAITING = 2
"""Batches whose outputs wait to be taken in, at most."""

_WAITING_VALUES = 1 << 24
"""Values of those outputs, at most, where there is more than one: bounds the memory."""

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
    """The part of it inside the runtime, from 0 to 1."""
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
    progress: Callable[[int, int], None] | None = None,
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
    run = _Run(task, [Ran(runner=each, tally=task.tally(), noise=Noise()) for each in runners])
    for done in _collect(run, batches(images, card.input, size=size)):
        if progress is not None:
            progress(done, total)
    if not run.images:
        raise CardError(f"{card.path}: none of {total} images can be decoded; {run.skipped[0]}")

    scores = task.scores(run.ran)
    if card.dataset.layout == "pictures":
        run.doubts.append(_UNLABELLED)
    elif doubt := task.hindsight(run.ran):
        run.doubts.append(doubt)
    seconds = time.perf_counter() - begin
    return Result(
        card=card.name,
        task=card.task,
        dataset=card.dataset.name or card.dataset.dir.name,
        images=run.images,
        batch=size,
        threads=threads,
        seconds=seconds,
        runtime_share=sum(runner.seconds for runner in runners) / seconds,
        models=scores,
        skipped=tuple(run.skipped),
        warnings=tuple(run.doubts),
    )


@dataclass
class _Run:
    """What accumulates over the batches."""

    task: Task
    ran: list[Ran]
    images: int = 0
    skipped: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def take_in(self, batch: Batch, outputs: Sequence[Sequence[Floats]]) -> int:
        """Tally a batch with each network's outputs; return how many images are done so far."""
        self.skipped += batch.skipped
        labels, first = list[Any](), None
        for ran, given in zip(self.ran, outputs, strict=False):  # none: no image can be decoded
            answers = self.task.answers(ran.runner, given)
            if first is None:
                labels = labels_of(self.task, batch.samples, answers)
            ran.tally.add(answers, labels, first)
            if first is None:
                first, named = answers, dict(zip(ran.runner.outputs, given, strict=True))
                if not self.images and (doubt := self.task.doubt(answers[0])):
                    self.doubts.append(doubt)
            else:
                ran.noise.add(ran.runner, given, named)
        self.images += len(labels)
        return self.images + len(self.skipped)


def _collect(run: _Run, chunks: Iterable[Batch]) -> Iterator[int]:
    """Run every network on every batch; yield the number of images done so far."""
    waiting: deque[Future[int]] = deque()
    with ThreadPoolExecutor(max_workers=1) as taking_in:  # one: the order of the images stays
        for chunk in chunks:
            inputs = chunk.inputs
            outputs = [] if inputs is None else [ran.runner.run(inputs) for ran in run.ran]
            waiting.append(taking_in.submit(run.take_in, chunk, outputs))

            values = sum(output.size for given in outputs for output in given)
            most = _WAITING if values <= _WAITING_VALUES else 0
            while len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
