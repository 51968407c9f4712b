"""Heads that refine given boxes: YOLO with anchors, and SSD with priors.

YOLO, one output (N, A (5 + C), H, W) per stride, A anchors (a_w, a_h) in input pixels,
channels anchor-major (tx, ty, tw, th, obj, C classes), s = scale_x_y, cell (gx, gy):

    x = (sigmoid(tx) s - (s - 1) / 2 + gx) / W        w = exp(tw) a_w / input width
    y = (sigmoid(ty) s - (s - 1) / 2 + gy) / H        h = exp(th) a_h / input height
    score = sigmoid(obj) sigmoid(class)

J. Redmon, A. Farhadi, "YOLOv3: an incremental improvement", 2018; s: A. Bochkovskiy et al.,
"YOLOv4: optimal speed and accuracy of object detection", 2020.

SSD, outputs (N, P, 4) and (N, P, C, or 1 + C with the background first), P priors (x, y, w, h)
relative to the input, variances v:

    x = p_x + v_0 t_0 p_w    w = p_w exp(v_2 t_2)
    y = p_y + v_1 t_1 p_h    h = p_h exp(v_3 t_3)

W. Liu et al., "SSD: single shot multibox detector", ECCV 2016.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spiq.errors import CardError
from spiq.evaluation.cards.sections import Card
from spiq.evaluation.files import content
from spiq.evaluation.tasks.detection.boxes import Candidates, Floats, corners
from spiq.evaluation.tasks.detection.scores import exp, labelled, logit, sigmoid
from spiq.evaluation.tasks.detection.settings import Settings, matching_outputs, needed


def yolov3(outputs: Sequence[Floats], settings: Settings) -> list[Candidates]:
    """Decode YOLO heads, which may come in any order; one entry per head."""
    card = settings.card
    spec = card.decode
    shapes = []
    for stride, anchors in zip(spec.strides, spec.anchors, strict=True):
        channels = len(anchors) // 2 * (5 + settings.classes)
        shapes.append((channels, card.input.height // stride, card.input.width // stride))
    heads = matching_outputs(outputs, shapes, card)
    scales = spec.scale_x_y or (1.0,) * len(heads)
    return [
        _yolo_head(head, anchors, scale, settings)
        for head, anchors, scale in zip(heads, spec.anchors, scales, strict=True)
    ]


def check_yolov3(card: Card) -> None:
    """Refuse a card without what :func:`yolov3` needs."""
    needed(card, "strides", "anchors")
    spec = card.decode
    heads = len(spec.strides)
    lengths = {"anchors": len(spec.anchors), "scale_x_y": len(spec.scale_x_y) or heads}
    for key, length in lengths.items():
        if length != heads:
            raise CardError(
                f"{card.path}: [decode] {key} has {length} entries, but strides has {heads}: "
                "one for each head"
            )
    if any(len(anchors) % 2 or not anchors for anchors in spec.anchors):
        raise CardError(
            f"{card.path}: [decode] anchors of a head are width, height, width, height, ... "
            "in input pixels"
        )


def _yolo_head(
    head: Floats, anchors: tuple[float, ...], scale: float, settings: Settings
) -> Candidates:
    (count, _, rows, columns), spec = head.shape, settings.card.input
    size = np.array(anchors, np.float32).reshape(-1, 2) / np.array(
        (spec.width, spec.height), np.float32
    )
    cells = head.reshape(count, len(size), 5 + settings.classes, rows * columns)
    # A class score only lowers the objectness: most cells end here.
    image, anchor, cell = np.nonzero(cells[:, :, 4] > logit(settings.threshold))
    found = cells[image, anchor, :, cell]
    row, label, score = labelled(
        sigmoid(found[:, 4:5]) * sigmoid(found[:, 5:]),
        threshold=settings.threshold,
        multi_label=settings.multi_label,
    )
    center = sigmoid(found[:, :2]) * np.float32(scale) - np.float32((scale - 1) / 2)
    y, x = np.divmod(cell, columns)
    width, height = (exp(found[:, 2:4]) * size[anchor]).T
    boxes = corners(
        (center[:, 0] + x.astype(np.float32)) / columns,
        (center[:, 1] + y.astype(np.float32)) / rows,
        width,
        height,
    )
    return Candidates(image=image[row], boxes=boxes[row], scores=score, labels=label)


def ssd(outputs: Sequence[Floats], settings: Settings) -> list[Candidates]:
    """Decode the offsets and scores of SSD; one entry."""
    card, priors = settings.card, settings.priors
    classes = settings.classes + card.decode.background
    offsets, raw = matching_outputs(outputs, [(len(priors), 4), (len(priors), classes)], card)
    scores = _activated(raw, card.decode.activation)[..., int(card.decode.background) :]
    row, label, score = labelled(
        scores.reshape(-1, settings.classes),
        threshold=settings.threshold,
        multi_label=settings.multi_label,
    )
    image, prior = np.divmod(row, len(priors))
    # A card's variances are those of the centre and of the size, or all four.
    spread = np.array(card.decode.variances, np.float32).repeat(4 // len(card.decode.variances))
    step, start = offsets[image, prior] * spread, priors[prior]
    x, y = (start[:, :2] + step[:, :2] * start[:, 2:]).T
    width, height = (start[:, 2:] * exp(step[:, 2:])).T
    boxes = corners(x, y, width, height)
    return [Candidates(image=image, boxes=boxes, scores=score, labels=label)]


def check_ssd(card: Card) -> None:
    """Refuse a card without what :func:`ssd` needs."""
    needed(card, "priors")
    if len(card.decode.variances) not in (2, 4):
        raise CardError(
            f"{card.path}: [decode] variances are those of the centre and of the size, or four: "
            "of x, y, width, height"
        )


def read_priors(card: Card) -> Floats:
    """Return the card's priors, (P, 4): x, y, width, height relative to the input.

    Raises:
        CardError: The file cannot be read, or they are not of that shape.
    """
    source: Any = card.decode.priors
    try:
        if isinstance(source, str):
            stored = content(Path(card.path).parent / source, "the priors")
            source = np.load(io.BytesIO(stored), allow_pickle=False)
        priors = np.asarray(source, np.float32)
    except (ValueError, TypeError, EOFError) as error:
        raise CardError(f"{card.path}: [decode] priors cannot be read: {error}") from error
    if priors.ndim != 2 or priors.shape[1] != 4 or not np.isfinite(priors).all():
        raise CardError(
            f"{card.path}: [decode] priors have shape {priors.shape}; they are (P, 4): "
            "x, y, width, height of each, relative to the input"
        )
    return priors


def _activated(scores: Floats, activation: str) -> Floats:
    if activation == "sigmoid":
        return sigmoid(scores)
    if activation == "softmax":
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        result: Floats = powers / powers.sum(axis=-1, keepdims=True)
        return result
    return scores
