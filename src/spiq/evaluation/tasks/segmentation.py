"""Mean IoU and pixel accuracy of several networks in one pass over the images.

A network gives logits, (images, channels, height, width), as large as its input; the class of a
pixel is the channel with the greatest one. The card says which labels are void (``ignore_labels``,
else all that are not below ``classes``); a channel that is not below ``classes`` is an error
wherever it wins. See :mod:`spiq.evaluation.tasks.confusion` for the scores. The signal-to-noise
ratio against the first network is 10 log10(sum (ref - mean ref)^2 / sum (ref - x)^2) over all
logits of all images.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spiq.errors import CardError, ModelError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data import datasets
from spiq.evaluation.data.pictures import VOID
from spiq.evaluation.data.preprocess import to_input
from spiq.evaluation.results import Estimate
from spiq.evaluation.runners import Floats, Runner, batch_size, open_all, shape_text
from spiq.evaluation.tasks import confusion
from spiq.evaluation.tasks.segmentation_results import (
    ClassIoU,
    SegmentationComparison,
    SegmentationResult,
    SegmentationScore,
)
from spiq.runtime.snr import Energy

Mask = npt.NDArray[np.integer]

_PIXELS = 1 << 20
"""Pixels that go through a network at a time, where it fixes no batch size: logits are large."""


def evaluate(
    models: Sequence[str | os.PathLike[str] | bytes],
    card: Card,
    *,
    limit: int | None = None,
    threads: int = 0,
    batch: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> SegmentationResult:
    """Measure ``models`` on the card's images; the first one is what the others are compared with.

    Args:
        models: Paths or bytes of ONNX files.
        card: A segmentation card.
        limit: Only that many images, from the first on.
        threads: Threads of the runtime; 0 lets it choose.
        batch: Images per call, fewer where images are large; a batch size that a network fixes
            takes its place. Use 1 where a network is quantized dynamically: its ranges are taken
            over the whole batch.
        progress: Called with images done and images in all.

    Raises:
        ModelError: A network cannot be loaded or run.
        CardError: The data set is not as the card says, or a network does not fit the card.
        ConfigError: ``batch`` or ``limit`` is below 1, or no network is given.
    """
    begin = time.perf_counter()
    runners = open_all(models, card, threads=threads)
    total = datasets.count(card, limit=limit)
    fitting = max(1, _PIXELS // (card.input.width * card.input.height))
    size = batch_size(runners, min(batch, fitting))
    skipped: list[str] = []
    tallies = [_Tally() for _ in runners]
    done = 0
    for images, labels in datasets.batches(card, size=size, limit=limit, skipped=skipped):
        _add(images, labels, runners, tallies, card)
        done += len(labels)
        if progress is not None:
            progress(done + len(skipped), total)
    return SegmentationResult(
        card=card.name,
        task=card.task,
        dataset=card.dataset.name or card.dataset.dir.name,
        images=done,
        batch=size,
        threads=threads,
        seconds=time.perf_counter() - begin,
        models=_scores(runners, tallies, card),
        skipped=tuple(skipped),
    )


def logits(runner: Runner, inputs: Floats, card: Card) -> Floats:
    """Run one batch: (n, channels, height, width).

    Raises:
        ModelError: The network fails.
        CardError: What it gives is not what the card says.
    """
    (output,) = runner.run(inputs)
    channels = card.decode.outputs
    wanted = (channels if isinstance(channels, int) else "C", card.input.height, card.input.width)
    if output.ndim != 4 or any(
        isinstance(want, int) and have != want
        for have, want in zip(output.shape[1:], wanted, strict=True)
    ):
        raise CardError(
            f"{runner.name}: its output has shape {shape_text(output.shape)}, but {card.path} "
            f"needs {shape_text(('N', *wanted))}: logits as large as the input"
        )
    if (card.decode.classes or 0) > output.shape[1]:
        raise CardError(
            f"{runner.name}: it has {output.shape[1]} channels, but {card.path} says "
            f"{card.decode.classes} classes: the card belongs to another network"
        )
    return output


def void(labels: Mask, card: Card, channels: int) -> npt.NDArray[np.bool_] | None:
    """Which pixels count nowhere; None: all count.

    Raises:
        CardError: A label that is not void is no class.
    """
    classes = card.decode.classes or channels
    ignored: npt.NDArray[np.bool_] = labels >= classes
    if card.decode.ignore_labels:
        named = np.isin(labels, (*card.decode.ignore_labels, VOID))
        if (ignored & ~named).any():
            raise CardError(
                f"{card.path}: a mask has the label {int(labels[ignored & ~named][0])}, which is "
                f"neither below classes = {classes} nor one of ignore_labels"
            )
        ignored = named
    return ignored if ignored.any() else None


@dataclass(kw_only=True)
class _Tally:
    """What accumulates over the images, for one network."""

    energy: Energy = field(default_factory=Energy)
    same: int = 0
    pixels: int = 0
    margins: list[confusion.Counts] = field(default_factory=list)

    def add(self, answer: Mask, counts: confusion.Counts) -> None:
        self.margins.append(confusion.margins(counts).astype(np.uint32))
        self.pixels += answer.size

    def compare(self, answer: Mask, first: Mask, logits: Floats, reference: Floats) -> None:
        self.same += int(np.count_nonzero(answer == first))
        for plane, exact in zip(logits, reference, strict=True):
            self.energy += Energy.of(exact, plane)


def _add(
    images: datasets.Images,
    labels: datasets.Labels,
    runners: Sequence[Runner],
    tallies: Sequence[_Tally],
    card: Card,
) -> None:
    """Tally a batch for every network."""
    inputs = to_input(images, card.input)
    reference: Floats | None = None
    answers: list[Mask] = []
    for runner, tally in zip(runners, tallies, strict=True):
        output = logits(runner, inputs, card)
        channels = output.shape[1]
        for i, label in enumerate(labels):
            if not np.isfinite(output[i]).all():
                raise ModelError(f"{runner.name}: its logits are not all finite: no class wins")
            answer = confusion.answers(output[i])
            ignored = void(label, card, channels)
            counts = confusion.matrix(
                label,
                answer,
                None if ignored is None else ~ignored,
                classes=card.decode.classes or channels,
                outputs=channels,
            )
            tally.add(answer, counts)
            if reference is None:
                answers.append(answer)
            else:
                tally.compare(answer, answers[i], output[i], reference[i])
        reference = output if reference is None else reference


def _scores(
    runners: Sequence[Runner], tallies: Sequence[_Tally], card: Card
) -> tuple[SegmentationScore, ...]:
    by_image = [np.stack(tally.margins).astype(np.int64) for tally in tallies]
    sums = [margins.sum(axis=0) for margins in by_image]
    which = confusion.counted(sums[0], card.decode.min_pixels)
    if not which.any():
        raise CardError(
            f"{card.path}: no class has a labelled pixel (min_pixels = {card.decode.min_pixels}): "
            "the mean IoU is of no class"
        )
    values = [confusion.scores(total, which) for total in sums]
    samples = [confusion.resampled(margins, card.decode.min_pixels) for margins in by_image]
    found = []
    for i, (runner, tally) in enumerate(zip(runners, tallies, strict=True)):
        miou, accuracy = confusion.estimates(values[i], samples[i])
        differences = confusion.estimates(values[i] - values[0], samples[i] - samples[0])
        found.append(
            SegmentationScore(
                model=runner.name,
                miou=miou,
                pixel_accuracy=accuracy,
                classes=_classes(sums[i], which, card),
                runtime_seconds=runner.seconds,
                images_per_second=len(tally.margins) / max(runner.seconds, 1e-9),
                comparison=_comparison(tally, *differences) if i else None,
            )
        )
    return tuple(found)


def _classes(
    sums: confusion.Counts, which: npt.NDArray[np.bool_], card: Card
) -> tuple[ClassIoU, ...]:
    names = card.decode.class_names
    return tuple(
        ClassIoU(
            name=names[c] if c < len(names) else f"class {c}",
            iou=None if np.isnan(iou) else 100 * float(iou),
            pixels=int(sums[1, c]),
            counted=bool(which[c]),
        )
        for c, iou in enumerate(confusion.ious(sums))
    )


def _comparison(tally: _Tally, miou: Estimate, accuracy: Estimate) -> SegmentationComparison:
    return SegmentationComparison(
        agreement=100 * tally.same / tally.pixels,
        snr_db=tally.energy.db_unless_equal,
        miou_difference=miou,
        pixel_accuracy_difference=accuracy,
    )
