"""Heads that place a box in each cell without anchors: FastestDet and YOLOv8.

FastestDet, outputs obj (N, 1, H, W), reg (N, 4, H, W) and cls (N, C, H, W), cell (gx, gy):

    x = (tanh(r_0) + gx) / W      w = sigmoid(r_2)
    y = (tanh(r_1) + gy) / H      h = sigmoid(r_3)
    score = sigmoid(obj)^0.6 softmax(cls)^0.4

https://github.com/dog-qiuqiu/FastestDet

YOLOv8, one output (N, 4 + C, A) or its transpose (N, A, 4 + C): x, y, w, h in input pixels and C
scores, all decoded in the graph as its exporter leaves them. YOLOv5, YOLOv7 and their kin, one
output (N, A, 5 + C), have the score of an object before those of the classes; they are multiplied.
https://github.com/ultralytics/ultralytics
"""

from collections.abc import Sequence

import numpy as np

from spiq.errors import CardError
from spiq.evaluation.cards.sections import Card
from spiq.evaluation.tasks.detection.boxes import Candidates, Floats, Ints, corners
from spiq.evaluation.tasks.detection.scores import labelled, sigmoid
from spiq.evaluation.tasks.detection.settings import Settings, matching_outputs, needed, shapes_of

_Cells = tuple[Ints, Ints, Floats]
"""Cells with a box, their labels and scores, each (k,)."""

_OBJECT, _CLASS = np.float32(0.6), np.float32(0.4)


def fastestdet(outputs: Sequence[Floats], settings: Settings) -> list[Candidates]:
    """Decode FastestDet's three outputs; one entry."""
    card = settings.card
    (stride,), classes = card.decode.strides, settings.classes
    rows, columns = card.input.height // stride, card.input.width // stride
    shapes = [(channels, rows, columns) for channels in (1, 4, classes)]
    obj, reg, cls = matching_outputs(outputs, shapes, card)
    scored = _labelled_cells if settings.multi_label else _likeliest_cells
    cell, label, score = scored(sigmoid(obj.reshape(-1)) ** _OBJECT, cls, settings.threshold)

    image, place = np.divmod(cell, rows * columns)
    y, x = (axis.astype(np.float32) for axis in np.divmod(place, columns))
    raw = reg.reshape(len(reg), 4, -1)[image, :, place]
    size = sigmoid(raw[:, 2:])
    boxes = corners(
        ((np.tanh(raw[:, 0]) + x) / columns).astype(np.float32),
        ((np.tanh(raw[:, 1]) + y) / rows).astype(np.float32),
        size[:, 0],
        size[:, 1],
    )
    return [Candidates(image=image, boxes=boxes, scores=score, labels=label)]


def _labelled_cells(obj: Floats, cls: Floats, threshold: float) -> _Cells:
    """Return the cells with every label above the threshold."""
    powers = np.exp(cls - cls.max(axis=1, keepdims=True))
    share = (powers / powers.sum(axis=1, keepdims=True)) ** _CLASS
    scores = obj[:, None] * share.transpose(0, 2, 3, 1).reshape(-1, cls.shape[1])
    return labelled(scores, threshold=threshold, multi_label=True)


def _likeliest_cells(obj: Floats, cls: Floats, threshold: float) -> _Cells:
    """Return the cells above the threshold by their likeliest label."""
    # only the largest probability is needed: exp(0) over the sum
    total = np.exp(cls - cls.max(axis=1, keepdims=True)).sum(axis=1)
    every: Floats = obj * total.reshape(-1) ** -_CLASS
    cell = np.flatnonzero(every > threshold)
    label = cls.transpose(0, 2, 3, 1).reshape(-1, cls.shape[1])[cell].argmax(axis=1)
    return cell, label, every[cell]


def check_fastestdet(card: Card) -> None:
    """Refuse a card without what :func:`fastestdet` needs."""
    needed(card, "strides")
    if len(card.decode.strides) != 1:
        raise CardError(
            f"{card.path}: [decode] strides has {len(card.decode.strides)} entries: "
            "a 'fastestdet' network has one head"
        )


def yolov8(outputs: Sequence[Floats], settings: Settings) -> list[Candidates]:
    """Decode YOLOv8's output; one entry."""
    channels, card = 4 + settings.classes, settings.card
    found = outputs[0]
    if len(outputs) != 1 or found.ndim != 3 or channels not in found.shape[1:]:
        raise CardError(
            f"its outputs are {shapes_of(outputs)}, but {card.path} needs one output of shape "
            f"(N, {channels}, cells) or (N, cells, {channels}): the card belongs to another network"
        )
    rows = found if found.shape[1] != channels else found.transpose(0, 2, 1)
    return _decoded(rows, settings)


def yolov5(outputs: Sequence[Floats], settings: Settings) -> list[Candidates]:
    """Decode the output of YOLOv5 and its kin; one entry."""
    channels, card = 5 + settings.classes, settings.card
    found = outputs[0]
    if len(outputs) != 1 or found.ndim != 3 or found.shape[2] != channels:
        raise CardError(
            f"its outputs are {shapes_of(outputs)}, but {card.path} needs one output of shape "
            f"(N, cells, {channels}): the card belongs to another network"
        )
    scores: Floats = found[..., 4:5] * found[..., 5:]
    return _decoded(np.concatenate([found[..., :4], scores], axis=2), settings)


def _decoded(rows: Floats, settings: Settings) -> list[Candidates]:
    """Boxes from centres, sizes and scores, (N, A, 4 + C)."""
    card = settings.card
    # A copy of few rows is cheaper than a transposed copy of all.
    image, cell = np.nonzero(rows[..., 4:].max(axis=2) > settings.threshold)
    picked = rows[image, cell]
    row, label, score = labelled(
        picked[:, 4:], threshold=settings.threshold, multi_label=settings.multi_label
    )
    size = np.array((card.input.width, card.input.height), np.float32)
    x, y = (picked[:, :2] / size).T
    width, height = (picked[:, 2:4] / size).T
    boxes = corners(x, y, width, height)[row]
    return [Candidates(image=image[row], boxes=boxes, scores=score, labels=label)]
