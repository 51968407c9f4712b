"""What a card says about reading the outputs, with its defaults filled in."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spiq.errors import CardError
from spiq.evaluation.cards.sections import Card
from spiq.evaluation.tasks.detection.boxes import Floats

SCORE_THRESHOLD, NMS_IOU, MAX_DETECTIONS = 0.001, 0.45, 100
"""What a card that does not say gets."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How outputs become boxes."""

    card: Card
    classes: int
    threshold: float
    multi_label: bool
    nms_iou: float
    max_detections: int
    priors: Floats = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def class_count(card: Card) -> int:
    """Return how many classes the network tells apart.

    Raises:
        CardError: The card does not say, or says two numbers.
    """
    spec = card.decode
    named = len(spec.class_names)
    if spec.classes is None and not named:
        needed(card, "classes")
    if spec.classes is not None and named and named != spec.classes:
        raise CardError(
            f"{card.path}: [decode] classes is {spec.classes}, but class_names has {named} names"
        )
    return spec.classes or named


def settings_of(card: Card, *, priors: Floats | None = None) -> Settings:
    """Return the settings of ``card``."""
    spec = card.decode
    return Settings(
        card=card,
        classes=class_count(card),
        threshold=SCORE_THRESHOLD if spec.score_threshold is None else spec.score_threshold,
        multi_label=spec.multi_label,
        nms_iou=NMS_IOU if spec.nms_iou is None else spec.nms_iou,
        max_detections=spec.max_detections or MAX_DETECTIONS,
        priors=np.zeros((0, 4), np.float32) if priors is None else priors,
    )


def needed(card: Card, *keys: str) -> None:
    """Refuse a card whose [decode] lacks one of ``keys``."""
    for key in keys:
        if not getattr(card.decode, key):
            raise CardError(f"{card.path}: [decode] kind {card.decode.kind!r} needs {key!r}")


def matching_outputs(
    outputs: Sequence[Floats], shapes: Sequence[tuple[int, ...]], card: Card
) -> list[Floats]:
    """Return the output of each shape (without the batch), the first one of equals.

    Raises:
        CardError: The outputs have other shapes.
    """
    left, found = list(outputs), []
    for shape in shapes:
        at = next((i for i, output in enumerate(left) if output.shape[1:] == shape), None)
        if at is None:
            wanted = ", ".join(f"(N, {', '.join(map(str, entry))})" for entry in shapes)
            raise CardError(
                f"its outputs are {shapes_of(outputs)}, but {card.path} needs {wanted} "
                f"for kind {card.decode.kind!r}: the card belongs to another network"
            )
        found.append(left.pop(at))
    return found


def shapes_of(outputs: Sequence[Floats]) -> str:
    """Return the outputs' shapes as text, the batch as N."""
    return ", ".join(f"(N, {', '.join(map(str, output.shape[1:]))})" for output in outputs)
