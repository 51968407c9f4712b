"""How far answers of a task are apart, and the panels that show them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spiq.evaluation import drawing
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data.datasets import Sample
from spiq.evaluation.drawing import Panel
from spiq.evaluation.runners import Floats
from spiq.evaluation.tasks import segmentation
from spiq.evaluation.tasks.detection import disagreement
from spiq.evaluation.tasks.detection.boxes import Detections, overlap
from spiq.evaluation.tasks.detection.samples import Placed
from spiq.evaluation.tasks.detection.task import SURE

_BEST = 5
"""Classes that are shown with their confidence."""

_HIT = 0.5
"""Overlap with a labelled box of the class, at which a box counts as found."""


@dataclass(frozen=True)
class Viewed:
    """An image, and what each network says of it."""

    sample: Sample
    answers: Sequence[Any]
    gaps: Sequence[float]
    """How far each answer is from the first network's, from 0 to 1."""


@dataclass(frozen=True)
class Pictures:
    """How answers of a task are compared and drawn."""

    gap: Callable[[Any, Any], float]
    panels: Callable[[Viewed, Sequence[str], Card], list[Panel]]


def labelled(card: Card) -> bool:
    """Whether images have labels; where they have none, the first network's answers are."""
    return card.dataset.layout != "pictures"


def drawn(sample: Sample, card: Card) -> Detections:
    """The labelled boxes of an image in pixels of the network's input, with scores of 1."""
    placed: Placed = sample.label
    sides = np.array((card.input.width, card.input.height), np.float64)
    scale, offset, size = (np.tile(pair, 2) for pair in (placed.scale, placed.offset, sides))
    boxes = (placed.truth.boxes - offset) / scale * size
    return Detections(
        boxes=boxes.astype(np.float32),
        scores=np.ones(len(boxes), np.float32),
        labels=placed.truth.labels,
    )


def _masks(viewed: Viewed, titles: Sequence[str], card: Card) -> list[Panel]:
    image, label, answers = viewed.sample.image, viewed.sample.label, viewed.answers
    assert image is not None, "views yields what can be decoded"
    classes = card.decode.classes or 256
    ignored = segmentation.void(label, card, answers[0].channels)
    truth = np.where(ignored, classes, np.minimum(label.astype(np.int64), classes))

    panels = [drawing.plain("image", "", image)]
    if labelled(card):
        panels.append(drawing.mask("truth", "grey: void", image, truth, card))
    for i, (answer, title) in enumerate(zip(answers, titles, strict=True)):
        right = f"{segmentation.right(answer, label, card):.1f} % right" if labelled(card) else ""
        gap = f"{100 * viewed.gaps[i]:.1f} % other than the first" if i else ""
        note = ", ".join(part for part in (right, gap) if part)
        panels.append(drawing.mask(title, note, image, answer.mask, card))
    for answer, title in zip(answers[1:], titles[1:], strict=True):
        differs = answer.mask != answers[0].mask
        panels.append(drawing.marked(title, "where it differs", image, differs))
    return panels


def _boxes(viewed: Viewed, titles: Sequence[str], card: Card) -> list[Panel]:
    image = viewed.sample.image
    assert image is not None, "views yields what can be decoded"
    sides = (float(card.input.width), float(card.input.height))
    truth = drawn(viewed.sample, card)
    known = labelled(card)
    first = (
        drawing.boxes("truth", "", image, truth, card)
        if known
        else drawing.plain("image", "", image)
    )
    panels = [first]
    for i, (answer, title) in enumerate(zip(viewed.answers, titles, strict=True)):
        found = answer.mapped(sides, (0.0, 0.0))
        sure = found.scores >= SURE
        shown, kinds = judged(truth, Detections(
            boxes=found.boxes[sure], scores=found.scores[sure], labels=found.labels[sure]
        ))  # fmt: skip
        words = drawing.KINDS if known else ("as the first", "more", "fewer")
        counts = ", ".join(
            f"{kinds.count(kind)} {word} {sign}".strip()
            for (kind, (_, sign)), word in zip(drawing.KINDS.items(), words, strict=True)
        )
        note = f"{counts}; other than the first {viewed.gaps[i]:.2f}" if i else counts
        panels.append(drawing.boxes(title, note, image, shown, card, kinds=kinds))
    return panels


def judged(truth: Detections, found: Detections) -> tuple[Detections, list[str]]:
    """The boxes found, best first, and those missed, with what each is: hit, false alarm, missed.

    A box hits the labelled one of its class that it overlaps most, if by at least a half and if no
    better box did.
    """
    left, kinds = list(range(len(truth.labels))), []
    for box, label in zip(found.boxes, found.labels, strict=True):
        same = [index for index in left if truth.labels[index] == label]
        best = max(same, key=lambda index: float(overlap(box, truth.boxes[index])), default=None)
        hit = best is not None and float(overlap(box, truth.boxes[best])) >= _HIT
        if hit and best is not None:
            left.remove(best)
        kinds.append("hit" if hit else "false alarm")
    shown = Detections(
        boxes=np.concatenate([found.boxes, truth.boxes[left]]),
        scores=np.concatenate([found.scores, truth.scores[left]]),
        labels=np.concatenate([found.labels, truth.labels[left]]),
    )
    return shown, kinds + ["missed"] * len(left)


def _classes(viewed: Viewed, titles: Sequence[str], card: Card) -> list[Panel]:
    image, label = viewed.sample.image, int(viewed.sample.label)
    assert image is not None, "views yields what can be decoded"
    named = f"label: {card.class_name(label)}" if labelled(card) else ""
    panels = [drawing.plain("image", named, image)]
    first = int(viewed.answers[0].argmax())
    for i, (answer, title) in enumerate(zip(viewed.answers, titles, strict=True)):
        shares, best = confidences(answer), int(answer.argmax())
        parts = [] if not labelled(card) else ["right" if best == label else "wrong"]
        if i:
            change = 100 * float(shares[first] - confidences(viewed.answers[0])[first])
            parts.append("other than the first" if best != first else f"{change:+.1f} points")
        rows = [(card.class_name(int(k)), float(shares[k])) for k in np.argsort(-shares)[:_BEST]]
        panels.append(drawing.bars(title, ", ".join(parts), image, rows))
    return panels


def confidences(answer: Floats) -> Floats:
    """Shares of 1 from logits, (classes,), or what are shares already."""
    if answer.min() >= 0 and abs(float(answer.sum()) - 1) < 1e-3:
        return answer
    powers = np.exp(answer - answer.max())
    shares: Floats = powers / powers.sum()
    return shares


def _moved(first: Floats, other: Floats) -> float:
    """Half for another answer, and half of how far the confidence in the first one moved."""
    best = int(first.argmax())
    change = abs(float(confidences(first)[best] - confidences(other)[best]))
    return 0.5 * (int(other.argmax()) != best) + 0.5 * change


PICTURES: Mapping[str, Pictures] = {
    "classification": Pictures(_moved, _classes),
    "segmentation": Pictures(lambda one, other: float((one.mask != other.mask).mean()), _masks),
    "detection": Pictures(disagreement, _boxes),
}
"""How answers of each task are drawn."""
