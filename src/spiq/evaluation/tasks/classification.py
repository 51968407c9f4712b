"""Classification: top-1 and top-5.

With the label's logit l, an answer's rank is

    #{k: logit_k > l} + #{k before the label: logit_k = l}

so that equal logits, which are common behind an 8-bit output, count in the order of the classes, as
argmax does; top-k means rank < k.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spiq.errors import CardError
from spiq.evaluation import estimates
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data import datasets, folders, npz
from spiq.evaluation.estimates import Estimate
from spiq.evaluation.runners import Floats, Runner
from spiq.evaluation.task import Ran
from spiq.evaluation.tasks import order

Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class ClassificationComparison:
    """One network beside the first one, on the same images."""

    agreement: float
    """Percent of images to which both give the same top-1 answer."""
    snr_db: dict[str, float | None]
    """Signal-to-noise ratio of the logits, by output; None where they are equal bit by bit."""
    top1_difference: Estimate
    """Top-1 minus the first network's, in points; the interval is over paired images."""

    @property
    def difference(self) -> Estimate:
        """That of the metric."""
        return self.top1_difference


@dataclass(frozen=True, kw_only=True)
class ClassificationScore:
    """How one network did."""

    model: str
    top1: Estimate
    """Percent, with the Wilson interval."""
    top5: Estimate
    runtime_seconds: float
    """Seconds inside the runtime, all images."""
    images_per_second: float
    """Images per second of runtime."""
    comparison: ClassificationComparison | None = None
    """None for the first network."""

    @property
    def metric(self) -> Estimate:
        """Top-1."""
        return self.top1


@dataclass(frozen=True)
class Classification:
    """The task of a classification card: labels are classes, answers the logits of each."""

    card: Card
    gives = "(images, classes)"
    most = 1 << 30

    def samples(
        self, limit: int | None, *, begin: int = 0
    ) -> tuple[int, Iterator[datasets.Sample]]:
        """The images with their classes."""
        return datasets.counted(self.card, limit=limit, begin=begin)

    def answers(self, runner: Runner, outputs: Sequence[Floats]) -> Floats:
        """Logits, (n, classes).

        Raises:
            CardError: There are more or fewer than the card says.
        """
        (output,) = outputs
        rows: Floats = output.reshape(len(output), -1)
        classes = self._stated
        if classes is not None and rows.shape[1] != classes:
            raise CardError(
                f"{runner.name}: it answers with {rows.shape[1]} logits, "
                f"but {self.card.path} says {classes}: the card belongs to another network"
            )
        return rows

    def tally(self) -> "ClassificationTally":
        """Ranks of the labels, and answers."""
        return ClassificationTally(self.card)

    def scores(self, ran: Sequence[Ran]) -> tuple[ClassificationScore, ...]:
        """Top-1, top-5, and what differs from the first network's answers."""
        first = ran[0].tally
        total = len(first.within(1))
        return tuple(
            ClassificationScore(
                top1=estimates.wilson(int(each.tally.within(1).sum()), total),
                top5=estimates.wilson(int(each.tally.within(5).sum()), total),
                comparison=None if each.tally is first else _comparison(each, first),
                **each.facts(total),
            )
            for each in ran
        )

    def files(self) -> list[Path]:
        """The pictures."""
        return datasets.files(self.card)

    def labels(self, label: object) -> str:
        """How many classes there are."""
        listed, known = self._listed(), self.card.decode.classes
        if listed.ndim != 1 or listed.dtype.kind not in "iu":
            raise CardError(f"labels are {listed.dtype} {listed.shape}: one whole number per image")
        if known is not None:
            check_labels(listed, known, self.card)
        found, counts = np.unique(listed, return_counts=True)
        of = f" of {known}" if known is not None else ""
        return f"{len(found)}{of} classes, {counts.min()} to {counts.max()} images of each"

    def said(self, answer: Floats, label: int) -> str:
        """The answer and the label by name."""
        name = self.card.class_name
        return f"first image: {name(int(answer.argmax()))}; its label: {name(int(label))}"

    def stand_in(self, answer: Floats, label: None) -> int:
        """The class that a network answers."""
        return int(answer.argmax())

    def hindsight(self, ran: Sequence[Ran]) -> str:
        """Whether the classes of the labels are in another order than the network's."""
        first = ran[0].tally
        found = order.mistaken(np.concatenate(first.labels), np.concatenate(first.best))
        return f"{self.card.path}: {found.said(self.card.class_name)}" if found else ""

    def doubt(self, answer: Floats | None) -> str:
        """Whether folders that no list maps to classes are as many as the network's classes."""
        return folders.doubt(self.card, self._stated if answer is None else len(answer))

    @property
    def _stated(self) -> int | None:
        """Logits that the card says, where it does."""
        outputs = self.card.decode.outputs
        return outputs if isinstance(outputs, int) else self.card.decode.classes

    def _listed(self) -> npt.NDArray[np.integer]:
        """The label of every image."""
        spec = self.card.dataset
        if spec.layout == "npz":
            return np.concatenate(list(npz.labels(self.card)))[: spec.n]
        return np.array([entry.label for entry in folders.entries(self.card)[: spec.n]])


def prepare(card: Card) -> Classification:
    """The task of a card, its classes named by the data set where the card does not."""
    return Classification(folders.named(card))


@dataclass
class ClassificationTally:
    """What accumulates over the batches, for one network."""

    card: Card
    labels: list[datasets.Labels] = field(default_factory=list)
    best: list[Ints] = field(default_factory=list)
    ranks: list[Ints] = field(default_factory=list)

    def add(self, answers: Floats, labels: Sequence[int], first: Floats | None) -> None:
        """Take in the logits of a batch."""
        classes = np.array(labels, np.int64)
        check_labels(classes, answers.shape[1], self.card)
        self.labels.append(classes)
        self.best.append(answers.argmax(axis=1))
        self.ranks.append(ranks(answers, classes))

    def join(self, more: "ClassificationTally") -> None:
        """Take in another tally, of images that come after."""
        self.labels += more.labels
        self.best += more.best
        self.ranks += more.ranks

    def within(self, k: int) -> npt.NDArray[np.bool_]:
        """Whether each image's label is among the first k answers."""
        return np.concatenate(self.ranks) < k


def ranks(logits: Floats, labels: datasets.Labels) -> Ints:
    """How many classes of each row, (n, classes), come before the row's label; 0 is top-1."""
    at_label = np.take_along_axis(logits, labels[:, None], axis=1)
    before = np.arange(logits.shape[1]) < labels[:, None]
    ahead = (logits > at_label) | ((logits == at_label) & before)
    count: Ints = ahead.sum(axis=1)
    return count


def check_labels(labels: npt.NDArray[np.integer], classes: int, card: Card) -> None:
    """Refuse labels, (n,), that are no classes.

    Raises:
        CardError: One is below 0 or not below ``classes``.
    """
    if labels.min() < 0 or labels.max() >= classes:
        raise CardError(
            f"{card.path}: labels of {card.dataset.dir} reach from {labels.min()} to "
            f"{labels.max()}, but the network has {classes} classes"
        )


def _comparison(ran: Ran, first: ClassificationTally) -> ClassificationComparison:
    own = ran.tally
    same = np.concatenate(own.best) == np.concatenate(first.best)
    return ClassificationComparison(
        agreement=100 * float(same.mean()),
        snr_db=ran.noise.snr_db,
        top1_difference=estimates.paired_difference(first.within(1), own.within(1)),
    )
