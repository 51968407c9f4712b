"""Detection: mean average precision.

Outputs are decoded to boxes relative to the network's input, and tallied in original pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np

from spiq.errors import CardError
from spiq.evaluation.cards.sections import Card
from spiq.evaluation.data import datasets
from spiq.evaluation.estimates import Estimate
from spiq.evaluation.runners import Floats, Runner
from spiq.evaluation.task import Ran
from spiq.evaluation.tasks.detection import matching, precision, truth
from spiq.evaluation.tasks.detection.boxes import Detections
from spiq.evaluation.tasks.detection.decode import Decoder, decoder
from spiq.evaluation.tasks.detection.disagreement import disagreement
from spiq.evaluation.tasks.detection.labelled import Truth
from spiq.evaluation.tasks.detection.samples import Placed, samples
from spiq.evaluation.tasks.detection.settings import settings_of

SURE = 0.3
"""Boxes of lower score are neither drawn nor counted where a network is asked about one image."""


@dataclass(frozen=True, kw_only=True)
class DetectionComparison:
    """One network beside the first one, on the same images."""

    snr_db: dict[str, float | None]
    """Signal-to-noise ratio of each output tensor; None where they are equal bit by bit."""
    mAP50_difference: Estimate
    """mAP50 minus the first network's; both are measured on the same draws of images."""
    mAP_difference: Estimate
    disagreement: dict[str, float]
    """Of each evaluated image by its name, from 0 (equal boxes) to 1 (no box in common)."""

    @property
    def agreement(self) -> float:
        """Percent of the boxes, mean over the images."""
        return 100 * (1 - fmean(self.disagreement.values()))

    @property
    def difference(self) -> Estimate:
        """That of the metric."""
        return self.mAP50_difference.times(100)


@dataclass(frozen=True, kw_only=True)
class DetectionScore:
    """How one network did; average precisions are means over the classes, from 0 to 1."""

    model: str
    mAP50: Estimate
    """COCO's at IoU 0.5, with its bootstrap interval over the images."""
    mAP: Estimate
    """COCO's mean over IoU 0.5, 0.55, ..., 0.95."""
    voc_mAP50: Estimate
    """At IoU 0.5 with VOC's rule: the whole area below the curve."""
    detections: int
    """Boxes in all images."""
    boxes: int
    """Labelled boxes to be found in them."""
    runtime_seconds: float
    """Seconds inside the runtime, all images."""
    images_per_second: float
    """Images per second of runtime."""
    comparison: DetectionComparison | None = None
    """None for the first network."""

    @property
    def metric(self) -> Estimate:
        """MAP50 in percent."""
        return self.mAP50.times(100)


@dataclass(frozen=True)
class Detection:
    """The task of a detection card: labels are boxes and where they lie in the original picture."""

    card: Card
    gives = ""
    most = 1 << 30

    @cached_property
    def decode(self) -> Decoder:
        """What turns outputs into boxes."""
        return decoder(self.card)

    def samples(
        self, limit: int | None, *, begin: int = 0
    ) -> tuple[int, Iterator[datasets.Sample]]:
        """The images with their boxes."""
        return samples(self.card, limit=limit, begin=begin)

    def answers(self, runner: Runner, outputs: Sequence[Floats]) -> list[Detections]:
        """Boxes, relative to the network's input.

        Raises:
            CardError: The outputs are not as the card says.
        """
        try:
            return self.decode(outputs)
        except CardError as error:
            raise CardError(f"{runner.name}: {error}") from error

    def tally(self) -> "DetectionTally":
        """Boxes that are found, beside those that are labelled."""
        matching.cocotools()  # before the work that would be lost without it
        return DetectionTally()

    def scores(self, ran: Sequence[Ran]) -> tuple[DetectionScore, ...]:
        """Average precisions, and what differs from the first network's."""
        truths = ran[0].tally.truths
        images = len(truths)
        most, counts = settings_of(self.card).max_detections, precision.weights(images)
        measured = []
        for each in ran:
            matches = matching.match(truths, each.tally.found, max_detections=most)
            measured.append(precision.precisions(matches, counts))
        boxes = len(matches.truth_label)
        if not boxes:
            raise CardError(f"{self.card.path}: the annotations have no boxes in {images} images")

        first = measured[0]
        return tuple(
            DetectionScore(
                mAP50=precision.estimate(own.mAP50),
                mAP=precision.estimate(own.mAP),
                voc_mAP50=precision.estimate(own.voc),
                detections=sum(len(entry.labels) for entry in each.tally.found),
                boxes=boxes,
                comparison=None if own is first else _comparison(each, own, first),
                **each.facts(images),
            )
            for each, own in zip(ran, measured, strict=True)
        )

    def files(self) -> list[Path]:
        """The pictures."""
        return truth.files(self.card)

    def labels(self, label: Placed) -> str:
        """How many boxes there are."""
        labels = np.concatenate([entry.labels for entry in truth.read(self.card)])
        return f"{len(labels)} boxes of {len(np.unique(labels))} classes"

    def said(self, answer: Detections, label: Placed) -> str:
        """How many boxes are found, and the best one's class."""
        sure = int((answer.scores >= SURE).sum())
        best = self.card.class_name(int(answer.labels[0])) if len(answer.labels) else "none"
        found = f"{sure} boxes with a score of at least {SURE}, best: {best}"
        return f"first image: {found}; {len(label.truth.labels)} labelled"

    def stand_in(self, answer: Detections, label: Placed) -> Placed:
        """The boxes that a network is sure of, as if they were labelled."""
        sure = answer.scores >= SURE
        boxes = answer.mapped(label.scale, label.offset).boxes[sure]
        none = np.zeros(int(sure.sum()), np.bool_)
        found = replace(
            label.truth,
            boxes=boxes.astype(np.float64),
            labels=answer.labels[sure],
            crowd=none,
            difficult=none,
        )
        return replace(label, truth=found)

    def hindsight(self, ran: Sequence[Ran]) -> str:
        """None: a class in the wrong place shows in its boxes."""
        return ""

    def doubt(self, answer: Detections | None) -> str:
        """None: categories that are not the network's classes are refused."""
        return ""


def prepare(card: Card) -> Detection:
    """The task of a card, its classes named by the data set where the card does not."""
    return Detection(_named(card))


def _named(card: Card) -> Card:
    if card.decode.class_names:
        return card
    try:
        names = truth.categories(card)
    except CardError:  # it is said where the boxes are read
        return card
    if len(set(names)) != len(names) or card.decode.classes not in (None, len(names)):
        return card
    return replace(card, decode=replace(card.decode, class_names=names))


@dataclass
class DetectionTally:
    """What accumulates over the batches, for one network."""

    truths: list[Truth] = field(default_factory=list)
    found: list[Detections] = field(default_factory=list)
    """Of each image, in original pixels."""
    disagreement: list[float] = field(default_factory=list)

    def add(
        self,
        answers: Sequence[Detections],
        labels: Sequence[Placed],
        first: Sequence[Detections] | None,
    ) -> None:
        """Take in the boxes of a batch."""
        self.truths += [label.truth for label in labels]
        self.found += [
            answer.mapped(label.scale, label.offset)
            for answer, label in zip(answers, labels, strict=True)
        ]
        if first is not None:
            self.disagreement += map(disagreement, first, answers)

    def join(self, more: "DetectionTally") -> None:
        """Take in another tally, of images that come after."""
        self.truths += more.truths
        self.found += more.found
        self.disagreement += more.disagreement


def _comparison(
    ran: Ran, own: precision.Precisions, first: precision.Precisions
) -> DetectionComparison:
    names = (entry.name for entry in ran.tally.truths)
    return DetectionComparison(
        snr_db=ran.noise.snr_db,
        mAP50_difference=precision.estimate(own.mAP50 - first.mAP50),
        mAP_difference=precision.estimate(own.mAP - first.mAP),
        disagreement=dict(zip(names, ran.tally.disagreement, strict=True)),
    )
