"""What the check of a card looks at, for each task: its files, its labels and one answer."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spiq.errors import CardError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data import datasets, folders, npz
from spiq.evaluation.data.pictures import VOID
from spiq.evaluation.drawing import SURE, name
from spiq.evaluation.runners import Floats, Runner
from spiq.evaluation.tasks import classification, confusion, segmentation


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A data set, looked at step by step; each step raises a SpiqError for what is wrong."""

    count: Callable[[], int]
    files: Callable[[], list[Path]]
    """Files that must be there; none where images are arrays."""
    labels: Callable[[], str]
    first: Callable[[], tuple[str, npt.NDArray[np.uint8], Any]]
    """Name, pixels and label of the first image."""
    answer: Callable[[Runner, Floats, Any], str]
    """What a network says to it: the runner, one input and the label in, words out."""


def probe(card: Card) -> Probe:
    """The probe of the card's task."""
    if card.task == "detection":
        return _boxes(card)
    masks = card.task == "segmentation"

    @cache
    def first() -> tuple[str, npt.NDArray[np.uint8], Any]:
        skipped: list[str] = []
        sample = next(datasets.samples(card, skipped=skipped))
        if skipped:
            raise CardError(skipped[0])
        return sample.name, sample.image, sample.label

    return Probe(
        count=lambda: datasets.count(card),
        files=lambda: _files(card),
        labels=lambda: _mask(first()[2], card) if masks else _classes(card),
        first=first,
        answer=lambda runner, inputs, label: (
            _segmented(runner, inputs, label, card)
            if masks
            else _classified(runner, inputs, label, card)
        ),
    )


def _files(card: Card) -> list[Path]:
    if card.dataset.layout == "npz":
        return []
    listed = folders.entries(card)[: card.dataset.n]
    masks = [entry.label for entry in listed if isinstance(entry.label, Path)]
    return [entry.image for entry in listed] + masks


def _classes(card: Card) -> str:
    if card.dataset.layout == "npz":
        labels = np.concatenate(list(npz.labels(card)))[: card.dataset.n]
    else:
        labels = np.array([entry.label for entry in folders.entries(card)[: card.dataset.n]])
    known = card.decode.classes
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise CardError(f"labels are {labels.dtype} {labels.shape}: one whole number per image")
    if known is not None:
        classification.check_labels(labels, known, card)
    found, counts = np.unique(labels, return_counts=True)
    of = f" of {known}" if known is not None else ""
    return f"{len(found)}{of} classes, {counts.min()} to {counts.max()} images of each"


def _mask(mask: npt.NDArray[np.integer], card: Card) -> str:
    classes = card.decode.classes or VOID
    ignored = segmentation.void(mask, card, classes)
    share = 0.0 if ignored is None else 100 * float(ignored.mean())
    found = np.unique(mask if ignored is None else mask[~ignored])
    names = ", ".join(name(int(label), card) for label in found[:8])
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    return f"first mask: {names or 'no class'}{more}; {share:.1f} % void"


def _classified(runner: Runner, inputs: Floats, label: Any, card: Card) -> str:
    answer = int(classification.logits(runner, inputs, card)[0].argmax())
    return f"first image: {name(answer, card)}; its label: {name(int(label), card)}"


def _segmented(runner: Runner, inputs: Floats, label: Any, card: Card) -> str:
    logits = segmentation.logits(runner, inputs, card)[0]
    ignored = segmentation.void(label, card, len(logits))
    right = confusion.answers(logits) == label
    share = 100 * float(right.mean() if ignored is None else right[~ignored].mean())
    return f"first image: {share:.1f} % of the labelled pixels are right"


def _boxes(card: Card) -> Probe:
    from spiq.evaluation.tasks.detection import samples, truth
    from spiq.evaluation.tasks.detection.decode import decoder

    def files() -> list[Path]:
        return [entry.picture for entry in truth.read(card) if entry.picture is not None]

    def labels() -> str:
        everything = truth.read(card)
        boxes = np.concatenate([entry.labels for entry in everything])
        return f"{len(boxes)} boxes of {len(np.unique(boxes))} classes"

    def first() -> tuple[str, npt.NDArray[np.uint8], Any]:
        sample = next(samples.samples(card, limit=1)[1])
        if sample.image is None:
            raise CardError(sample.problem)
        return sample.truth.name, sample.image, sample.truth

    def said(runner: Runner, inputs: Floats, label: Any) -> str:
        (found,) = decoder(card)(runner.run(inputs))
        sure = int((found.scores >= SURE).sum())
        best = name(int(found.labels[0]), card) if len(found.labels) else "none"
        found_text = f"{sure} boxes with a score of at least {SURE}, best: {best}"
        return f"first image: {found_text}; {len(label.labels)} labelled"

    return Probe(
        count=lambda: len(truth.read(card)), files=files, labels=labels, first=first, answer=said
    )
