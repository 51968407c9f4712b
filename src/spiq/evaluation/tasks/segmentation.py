"""Segmentation: mean IoU and pixel accuracy.

A network gives logits, (images, channels, height, width), as large as its input; the class of a
pixel is the channel with the greatest one. The card says which labels are void (``ignore_labels``,
else all that are not below ``classes``); a channel that is not below ``classes`` is an error
wherever it wins. With ``kind = "threshold"`` there is one channel, and pixels above the threshold
are of class 1. See :mod:`spiq.evaluation.tasks.confusion` for the scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spiq.errors import CardError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data import datasets, folders, masks
from spiq.evaluation.data.masks import VOID
from spiq.evaluation.estimates import Estimate
from spiq.evaluation.runners import Floats, Runner, fits, shape_text
from spiq.evaluation.task import Ran
from spiq.evaluation.tasks import confusion

Mask = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]

_PIXELS = 1 << 20
"""Pixels that go through a network at a time, where it fixes no batch size: logits are large."""


@dataclass(frozen=True, kw_only=True)
class ClassIoU:
    """How well one class is found."""

    name: str
    iou: float | None
    """Percent; None where no pixel has or gets the class."""
    pixels: int
    """Pixels that have the label, in all images."""
    counted: bool
    """Whether it counts in the mean."""


@dataclass(frozen=True, kw_only=True)
class SegmentationComparison:
    """One network beside the first one, on the same images."""

    agreement: float
    """Percent of pixels to which both give the same class, void labels included."""
    snr_db: dict[str, float | None]
    """Signal-to-noise ratio of the logits, by output; None where they are equal bit by bit."""
    miou_difference: Estimate
    """Mean IoU minus the first network's, in points; the interval is over paired images."""
    pixel_accuracy_difference: Estimate

    @property
    def difference(self) -> Estimate:
        """That of the metric."""
        return self.miou_difference


@dataclass(frozen=True, kw_only=True)
class SegmentationScore:
    """How one network did."""

    model: str
    miou: Estimate
    """Percent, from one confusion matrix over all images; bootstrap interval over the images."""
    pixel_accuracy: Estimate
    classes: tuple[ClassIoU, ...]
    runtime_seconds: float
    """Seconds inside the runtime, all images."""
    images_per_second: float
    """Images per second of runtime."""
    comparison: SegmentationComparison | None = None
    """None for the first network."""

    @property
    def metric(self) -> Estimate:
        """Mean IoU."""
        return self.miou


@dataclass(frozen=True)
class Answer:
    """What a network says of one image."""

    mask: Mask
    """The channel that wins, (height, width)."""
    channels: int


@dataclass(frozen=True)
class Segmentation:
    """The task of a segmentation card: labels are masks."""

    card: Card
    gives = "(images, channels, height, width)"

    @property
    def most(self) -> int:
        """As many as have about ``_PIXELS``."""
        return max(1, _PIXELS // (self.card.input.width * self.card.input.height))

    def samples(
        self, limit: int | None, *, begin: int = 0
    ) -> tuple[int, Iterator[datasets.Sample]]:
        """The images with their masks."""
        return datasets.counted(self.card, limit=limit, begin=begin)

    def answers(self, runner: Runner, outputs: Sequence[Floats]) -> list[Answer]:
        """The class of each pixel.

        Raises:
            CardError: The logits are not as the card says.
        """
        (output,) = outputs
        spec, decode = self.card.input, self.card.decode
        alone = decode.threshold is not None
        channels = 1 if alone else decode.outputs if isinstance(decode.outputs, int) else "C"
        wanted = (channels, spec.height, spec.width)
        if not fits(output.shape, ("N", *wanted)):
            raise CardError(
                f"{runner.name}: its output has shape {shape_text(output.shape)}, but "
                f"{self.card.path} needs {shape_text(('N', *wanted))}: logits as large as the input"
            )
        if decode.threshold is not None:
            return [Answer((row[0] > decode.threshold).astype(np.uint8), 2) for row in output]
        if (decode.classes or 0) > output.shape[1]:
            raise CardError(
                f"{runner.name}: it has {output.shape[1]} channels, but {self.card.path} says "
                f"{decode.classes} classes: the card belongs to another network"
            )
        return [Answer(confusion.answers(logits), len(logits)) for logits in output]

    def tally(self) -> "SegmentationTally":
        """Margins of the confusion matrices."""
        return SegmentationTally(self.card)

    def scores(self, ran: Sequence[Ran]) -> tuple[SegmentationScore, ...]:
        """Mean IoU, pixel accuracy, and what differs from the first network's."""
        by_image = [np.stack(each.tally.margins).astype(np.int64) for each in ran]
        sums = [margins.sum(axis=0) for margins in by_image]
        which = self._counted(sums[0])
        values = [confusion.scores(total, which) for total in sums]
        samples = [
            confusion.resampled(margins, self.card.decode.min_pixels) for margins in by_image
        ]

        found = []
        for i, each in enumerate(ran):
            miou, accuracy = confusion.estimates(values[i], samples[i])
            gaps = confusion.estimates(values[i] - values[0], samples[i] - samples[0])
            found.append(
                SegmentationScore(
                    miou=miou,
                    pixel_accuracy=accuracy,
                    classes=self._classes(sums[i], which),
                    comparison=_comparison(each, *gaps) if i else None,
                    **each.facts(len(by_image[i])),
                )
            )
        return tuple(found)

    def files(self) -> list[Path]:
        """The pictures and masks."""
        return datasets.files(self.card)

    def labels(self, label: Mask) -> str:
        """The classes of the first mask."""
        ignored = void(label, self.card, self.card.decode.classes or VOID)
        found = np.unique(label[~ignored])
        names = ", ".join(self.card.class_name(int(one)) for one in found[:8])
        more = f" and {len(found) - 8} more" if len(found) > 8 else ""
        return f"first mask: {names or 'no class'}{more}; {100 * ignored.mean():.1f} % void"

    def said(self, answer: Answer, label: Mask) -> str:
        """How many pixels are right."""
        share = right(answer, label, self.card)
        return f"first image: {share:.1f} % of the labelled pixels are right"

    def stand_in(self, answer: Answer, label: None) -> Mask:
        """The mask that a network answers."""
        return answer.mask

    def hindsight(self, ran: Sequence[Ran]) -> str:
        """None: the classes' own figures tell."""
        return ""

    def doubt(self, answer: Answer | None) -> str:
        """Whether masks of black and white have a class beside the background."""
        return masks.doubt(self.card)

    def _counted(self, sums: confusion.Counts) -> Bools:
        least = self.card.decode.min_pixels
        which = confusion.counted(sums, least)
        if not which.any():
            none = f"no class has a labelled pixel (min_pixels = {least})"
            raise CardError(f"{self.card.path}: {none}: the mean IoU is of no class")
        return which

    def _classes(self, sums: confusion.Counts, which: Bools) -> tuple[ClassIoU, ...]:
        return tuple(
            ClassIoU(
                name=self.card.class_name(c),
                iou=None if np.isnan(iou) else 100 * float(iou),
                pixels=int(sums[1, c]),
                counted=bool(which[c]),
            )
            for c, iou in enumerate(confusion.ious(sums))
        )


def prepare(card: Card) -> Segmentation:
    """The task of a card, its classes named by the data set where the card does not."""
    return Segmentation(folders.named(card))


@dataclass
class SegmentationTally:
    """What accumulates over the images, for one network."""

    card: Card
    same: int = 0
    pixels: int = 0
    margins: list[npt.NDArray[np.uint32]] = field(default_factory=list)

    def add(
        self, answers: Sequence[Answer], labels: Sequence[Mask], first: Sequence[Answer] | None
    ) -> None:
        """Take in the masks of a batch."""
        for i, (answer, label) in enumerate(zip(answers, labels, strict=True)):
            counts = confusion.matrix(
                label,
                answer.mask,
                ~void(label, self.card, answer.channels),
                classes=self.card.decode.classes or answer.channels,
                outputs=answer.channels,
            )
            self.margins.append(confusion.margins(counts).astype(np.uint32))
            self.pixels += answer.mask.size
            if first is not None:
                self.same += int(np.count_nonzero(answer.mask == first[i].mask))

    def join(self, more: "SegmentationTally") -> None:
        """Take in another tally, of images that come after."""
        self.same += more.same
        self.pixels += more.pixels
        self.margins += more.margins


def right(answer: Answer, label: Mask, card: Card) -> float:
    """Percent of the pixels that are not void whose class is the label; 0 where all are void."""
    valid = ~void(label, card, answer.channels)
    return 100 * float((answer.mask == label)[valid].mean()) if valid.any() else 0.0


def void(labels: Mask, card: Card, channels: int) -> Bools:
    """Which pixels count nowhere.

    Raises:
        CardError: A label that is not void is no class.
    """
    classes = card.decode.classes or channels
    ignored: Bools = labels >= classes
    if card.decode.ignore_labels:
        named: Bools = np.isin(labels, (*card.decode.ignore_labels, VOID))
        if (ignored & ~named).any():
            raise CardError(
                f"{card.path}: a mask has the label {int(labels[ignored & ~named][0])}, which is "
                f"neither below classes = {classes} nor one of ignore_labels"
            )
        ignored = named
    return ignored


def _comparison(ran: Ran, miou: Estimate, accuracy: Estimate) -> SegmentationComparison:
    return SegmentationComparison(
        agreement=100 * ran.tally.same / ran.tally.pixels,
        snr_db=ran.noise.snr_db,
        miou_difference=miou,
        pixel_accuracy_difference=accuracy,
    )
