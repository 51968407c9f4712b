"""What a task is to the rest: to the evaluation, the check of a card and the pictures.

    samples      the images, with what they are labelled with
    answers      from a network's outputs for a batch to what it says of each image
    tally        collects answers beside labels and the first network's answers
    scores       from the tallies of all networks to their figures

A task is a module with a function ``prepare(card)``, named in ``TASKS`` and imported when used.
What an answer and a label are is the task's own affair.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Protocol

from spiq.errors import ModelError
from spiq.evaluation.cards.read import TASKS, Card
from spiq.evaluation.data.datasets import Sample
from spiq.evaluation.estimates import Estimate
from spiq.evaluation.runners import Floats, Runner, shape_text
from spiq.runtime.snr import Energy

METRICS = {"classification": "top-1 %", "detection": "mAP50 %", "segmentation": "mIoU %"}
"""What is measured, by task."""


class Comparison(Protocol):
    """One network beside the first one, on the same images."""

    @property
    def agreement(self) -> float:
        """Percent of answers, pixels or boxes that are the first network's."""

    @property
    def snr_db(self) -> Mapping[str, float | None]:
        """Signal-to-noise ratio of each output; None where they are equal bit by bit."""

    @property
    def difference(self) -> Estimate:
        """The task's metric minus the first network's, in points, over the same images."""


class Score(Protocol):
    """How one network did."""

    @property
    def model(self) -> str:
        """Its path."""

    @property
    def metric(self) -> Estimate:
        """The task's metric, in percent."""

    @property
    def comparison(self) -> Comparison | None:
        """None for the first network."""


class Tally(Protocol):
    """What accumulates over the batches, for one network."""

    def add(
        self, answers: Sequence[Any], labels: Sequence[Any], first: Sequence[Any] | None
    ) -> None:
        """Take in a batch; ``first`` are the first network's answers, None for itself."""

    def join(self, more: Any) -> None:
        """Take in another tally, of images that come after."""


@dataclass
class Noise:
    """How far a network's outputs are from the first network's, by the name of the output."""

    energies: dict[str, list[Energy]] = field(default_factory=dict)
    """Of each image: sums over all are taken at the end, in one order whoever took them."""

    def add(self, runner: Runner, given: Sequence[Floats], first: Mapping[str, Floats]) -> None:
        """Take in the outputs of a batch.

        Raises:
            ModelError: They are not shaped like the first network's.
        """
        for (name, reference), found in zip(first.items(), given, strict=True):
            if found.shape != reference.shape:
                raise ModelError(
                    f"{runner.name}: an output of shape {shape_text(found.shape)} stands where the "
                    f"first network's has {shape_text(reference.shape)}: it is another network"
                )
            of_each = map(Energy.of, reference, found)  # image by image: little memory
            self.energies.setdefault(name, []).extend(of_each)

    def join(self, more: "Noise") -> None:
        """Take in the noise of images that come after."""
        for name, energies in more.energies.items():
            self.energies.setdefault(name, []).extend(energies)

    @property
    def snr_db(self) -> dict[str, float | None]:
        """The ratio over all values of all images; None where they are equal bit by bit."""
        return {
            name: reduce(add, energies, Energy()).db_unless_equal
            for name, energies in self.energies.items()
        }


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A network, and what came of its answers."""

    runner: Runner
    tally: Any
    noise: Noise

    def facts(self, images: int) -> dict[str, Any]:
        """What every score says of its network, whatever the task."""
        return {
            "model": self.runner.name,
            "runtime_seconds": self.runner.seconds,
            "images_per_second": images / max(self.runner.seconds, 1e-9),
        }


class Task(Protocol):
    """A card's task."""

    @property
    def card(self) -> Card:
        """The card."""

    @property
    def gives(self) -> str:
        """What the only output that is read is, in words; "": all outputs are read."""

    @property
    def most(self) -> int:
        """Images that go through a network at a time, at most."""

    def samples(self, limit: int | None, *, begin: int = 0) -> tuple[int, Iterator[Sample]]:
        """How many images there are, at most ``limit``, and the images from ``begin`` on."""

    def answers(self, runner: Runner, outputs: Sequence[Floats]) -> Sequence[Any]:
        """What a network says of each image of a batch."""

    def tally(self) -> Tally:
        """A tally of nothing yet."""

    def scores(self, ran: Sequence[Ran]) -> tuple[Score, ...]:
        """The figures of each network."""

    def files(self) -> list[Path]:
        """Files that must be there; none where images are arrays."""

    def labels(self, label: Any) -> str:
        """What the labels are, in words; ``label`` is that of the first image."""

    def said(self, answer: Any, label: Any) -> str:
        """What a network says of the first image, in words."""

    def doubt(self, answer: Any | None) -> str:
        """Why the figures may mean nothing, with a network that answers so; "": no doubt."""

    def hindsight(self, ran: Sequence[Ran]) -> str:
        """Why the figures may mean nothing, by the answers to all images; "": no doubt."""

    def stand_in(self, answer: Any, label: Any) -> Any:
        """What stands for the label of a picture that has none, where this is the answer."""


def labels_of(task: Task, samples: Sequence[Sample], answers: Sequence[Any]) -> list[Any]:
    """The labels of a batch; where pictures have none, what the first network answers."""
    labels = [sample.label for sample in samples]
    if task.card.dataset.layout != "pictures":
        return labels
    return list(map(task.stand_in, answers, labels))


def task_of(card: Card) -> Task:
    """The task of a card.

    Raises:
        CardError: The card lacks something that the task needs.
    """
    made: Task = importlib.import_module(TASKS[card.task]).prepare(card)
    return made
