"""What comes of several networks on the same images, batch by batch.

Each batch is read and preprocessed once and then goes through every network:

    read ahead          run                        take in
    a thread      ->    every network       ->     a thread: answers, tallies
                        one after the other

What is taken in waits for its turn, since reading and decoding keep the runtime waiting otherwise.

Where the images are divided into shards, each gathers its own, and what the shards found is joined
in the order of the images: records are put behind one another, and sums added up image by image as
if there had been one pass, so that the figures are the same to the last digit.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from spiq.evaluation.data.batches import Batch
from spiq.evaluation.runners import Floats, Runner
from spiq.evaluation.task import Noise, Ran, Task, labels_of

_WAITING = 2
"""Batches whose outputs wait to be taken in, at most."""

_WAITING_VALUES = 1 << 24
"""Values of those outputs, at most, where there is more than one: bounds the memory."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What was gathered from some images, to be sent to where it is joined."""

    tallies: tuple[Any, ...]
    """Of each network, here and below."""
    noises: tuple[Noise, ...]
    runtime_seconds: tuple[float, ...]
    images: int
    skipped: list[str]
    doubts: list[str]


@dataclass
class Gathered:
    """What accumulates over the batches."""

    task: Task
    ran: list[Ran]
    images: int = 0
    skipped: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @classmethod
    def nothing(cls, task: Task, runners: Sequence[Runner]) -> "Gathered":
        """Begin with no image."""
        return cls(task, [Ran(runner=each, tally=task.tally(), noise=Noise()) for each in runners])

    def gather(self, chunks: Iterable[Batch]) -> Iterator[int]:
        """Run every network on every batch; yield the number of images done so far."""
        waiting: deque[Future[int]] = deque()
        with ThreadPoolExecutor(max_workers=1) as taking_in:  # one: the order of the images stays
            for chunk in chunks:
                inputs = chunk.inputs
                outputs = [] if inputs is None else [ran.runner.run(inputs) for ran in self.ran]
                waiting.append(taking_in.submit(self._take_in, chunk, outputs))

                values = sum(output.size for given in outputs for output in given)
                most = _WAITING if values <= _WAITING_VALUES else 0
                while len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def part(self) -> Part:
        """Return what was gathered, without the networks."""
        return Part(
            tallies=tuple(ran.tally for ran in self.ran),
            noises=tuple(ran.noise for ran in self.ran),
            runtime_seconds=tuple(ran.runner.seconds for ran in self.ran),
            images=self.images,
            skipped=self.skipped,
            doubts=self.doubts,
        )

    def join(self, part: Part) -> None:
        """Take in what was gathered from the images that come next."""
        if not self.images:
            self.doubts += part.doubts
        own = zip(self.ran, part.tallies, part.noises, part.runtime_seconds, strict=True)
        for ran, tally, noise, seconds in own:
            ran.tally.join(tally)
            ran.noise.join(noise)
            ran.runner.seconds += seconds
        self.images += part.images
        self.skipped += part.skipped

    def _take_in(self, batch: Batch, outputs: Sequence[Sequence[Floats]]) -> int:
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
