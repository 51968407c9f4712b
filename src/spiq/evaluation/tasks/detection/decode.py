"""From a network's outputs to the boxes of each image, for the kinds of heads that cards name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from spiq.errors import CardError
from spiq.evaluation.cards.sections import Card
from spiq.evaluation.tasks.detection import anchor_free, anchored, nms
from spiq.evaluation.tasks.detection.boxes import Candidates, Detections, Floats
from spiq.evaluation.tasks.detection.settings import Settings, settings_of


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way to read outputs."""

    decode: Callable[[Sequence[Floats], Settings], list[Candidates]]
    check: Callable[[Card], None]
    """Raises a CardError where the card lacks something."""


KINDS: dict[str, Kind] = {
    "yolov3": Kind(decode=anchored.yolov3, check=anchored.check_yolov3),
    "yolov8": Kind(decode=anchor_free.yolov8, check=lambda card: None),
    "yolov5": Kind(decode=anchor_free.yolov5, check=lambda card: None),
    "fastestdet": Kind(decode=anchor_free.fastestdet, check=anchor_free.check_fastestdet),
    "ssd": Kind(decode=anchored.ssd, check=anchored.check_ssd),
}

Decoder = Callable[[Sequence[Floats]], list[Detections]]
"""Outputs of a batch in, boxes of each image out, relative to the network's input."""


def decoder(card: Card) -> Decoder:
    """Return what turns outputs into boxes as ``card`` says.

    Raises:
        CardError: The kind is unknown or lacks something. The decoder raises it for outputs of
            other shapes, in words that follow the network's name.
    """
    spec = card.decode
    kind = KINDS.get(spec.kind)
    if kind is None:
        raise CardError(
            f"{card.path}: [decode] kind {spec.kind!r} is unknown; known: {', '.join(KINDS)}"
        )
    kind.check(card)
    priors = anchored.read_priors(card) if spec.kind == "ssd" else None
    settings = settings_of(card, priors=priors)

    def decode(outputs: Sequence[Floats]) -> list[Detections]:
        found = _joined(kind.decode(outputs, settings))
        return nms.select(
            found,
            images=len(outputs[0]),
            iou=settings.nms_iou,
            max_detections=settings.max_detections,
        )

    return decode


def _joined(parts: Sequence[Candidates]) -> Candidates:
    return Candidates(
        image=np.concatenate([part.image for part in parts]),
        boxes=np.concatenate([part.boxes for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
    )
