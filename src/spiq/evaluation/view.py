"""Pictures of what networks answer, for the images where they differ most.

Each picture has the image, the truth and the answer of every network side by side. What counts as
different is the share of pixels with another class than the first network's, for segmentation, and
the disagreement of the boxes, for detection; of several networks the one that differs most counts.
A single network differs from nothing: the first images are shown.
"""

import heapq
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spiq.errors import ConfigError, OutputError
from spiq.evaluation import drawing
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data.batches import batches
from spiq.evaluation.data.datasets import Sample
from spiq.evaluation.drawing import Panel
from spiq.evaluation.runners import Model, names, open_all
from spiq.evaluation.task import labels_of, task_of
from spiq.evaluation.tasks import segmentation
from spiq.evaluation.tasks.detection import disagreement
from spiq.evaluation.tasks.detection.boxes import Detections
from spiq.evaluation.tasks.detection.samples import Placed
from spiq.io.images import pillow

COUNT = 8
"""Pictures that are made."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Viewed:
    """An image, and what each network says of it."""

    sample: Sample
    answers: Sequence[Any]
    gaps: Sequence[float]
    """How far each answer is from the first network's, from 0 to 1."""


@dataclass(frozen=True)
class _Pictures:
    """How answers of a task are compared and drawn."""

    gap: Callable[[Any, Any], float]
    panels: Callable[[Viewed, Sequence[str], Card], list[Panel]]


def write(
    models: Sequence[Model],
    card: Card,
    folder: str | os.PathLike[str],
    *,
    limit: int | None = None,
    threads: int = 0,
    count: int = COUNT,
    progress: Progress | None = None,
) -> list[Path]:
    """Write pictures into ``folder``, which is made; return their files, most different first.

    Args:
        models: Paths or bytes of ONNX files; the others are compared with the first.
        card: A card for segmentation or detection.
        folder: Where the PNG files go.
        limit: Only that many images, from the first on.
        threads: Threads of the runtime; 0 lets it choose.
        count: At most that many pictures.
        progress: Called with images done and images in all.

    Raises:
        ModelError: A network cannot be loaded or run.
        CardError: The data set is not as the card says, or a network does not fit the card.
        ConfigError: The task has no pictures, or Pillow is not installed.
        OutputError: The folder or a picture cannot be written.
    """
    where = check_folder(folder, card)
    chosen: list[tuple[float, int, Viewed]] = []  # of equal ones, the earlier is the greater
    for turn, viewed in enumerate(views(models, card, limit, threads, progress)):
        candidate = (max(viewed.gaps), -turn, viewed)
        (heapq.heappush if len(chosen) < count else heapq.heappushpop)(chosen, candidate)

    titles = _titles(models)
    try:
        where.mkdir(exist_ok=True)
        return [
            _save(viewed, rank, where, titles, card)
            for rank, (_, _, viewed) in enumerate(sorted(chosen, reverse=True), start=1)
        ]
    except OSError as error:
        raise OutputError(f"{where}: cannot write pictures: {error.strerror or error}") from error


def check_folder(folder: str | os.PathLike[str], card: Card) -> Path:
    """Check that pictures can be made and written, before the work that it takes.

    Raises:
        ConfigError: The task has no pictures, or Pillow is not installed.
        OutputError: There cannot be such a folder.
    """
    where = Path(folder)
    if card.task not in _PICTURES:
        raise ConfigError(
            f"{card.path}: pictures are of masks and of boxes; task {card.task!r} has neither"
        )
    pillow()
    if where.exists() and not where.is_dir():
        raise OutputError(f"{where} is a file: give a folder for the pictures")
    if where.exists() and any(where.iterdir()):
        raise OutputError(f"{where} is not empty: give another folder, pictures would be mixed up")
    if not where.parent.is_dir():
        raise OutputError(f"{where}: there is no folder {where.parent}: make it first")
    return where


def views(
    models: Sequence[Model],
    card: Card,
    limit: int | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> Iterator[Viewed]:
    """Yield each image that can be decoded with the answers of all networks, as :func:`write`."""
    task, gap = task_of(card), _PICTURES[card.task].gap
    runners = open_all(models, card, gives=task.gives, threads=threads)
    total, images = task.samples(limit)
    for done, batch in enumerate(batches(images, card.input, size=1), start=1):
        if progress is not None:
            progress(done, total)
        if batch.inputs is not None:
            outputs = [runner.run(batch.inputs) for runner in runners]
            pairs = zip(runners, outputs, strict=True)
            answers = [task.answers(runner, given)[0] for runner, given in pairs]
            (label,) = labels_of(task, batch.samples, answers[:1])
            sample = replace(batch.samples[0], label=label)
            yield Viewed(sample, answers, [gap(answers[0], one) for one in answers])


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


def _save(viewed: Viewed, rank: int, folder: Path, titles: Sequence[str], card: Card) -> Path:
    name = viewed.sample.name
    stem = re.sub(r"\.(npz|jpe?g|png|bmp|ppm|webp|tiff?)\b", "", name)
    path = folder / f"{rank:02}-{re.sub(r'[^A-Za-z0-9._-]+', '-', stem)}.png"
    panels = _PICTURES[card.task].panels(viewed, titles, card)
    drawing.sheet(panels, title=name, card=card).save(path)
    return path


def _masks(viewed: Viewed, titles: Sequence[str], card: Card) -> list[Panel]:
    image, label, answers = viewed.sample.image, viewed.sample.label, viewed.answers
    assert image is not None, "views yields what can be decoded"
    classes = card.decode.classes or 256
    ignored = segmentation.void(label, card, answers[0].channels)
    truth = np.where(ignored, classes, np.minimum(label.astype(np.int64), classes))

    panels = [
        drawing.plain("image", "", image),
        drawing.mask("truth", "grey: void", image, truth, card),
    ]
    for i, (answer, title) in enumerate(zip(answers, titles, strict=True)):
        note = f"{segmentation.right(answer, label, card):.1f} % right"
        note += f", {100 * viewed.gaps[i]:.1f} % other than the first" if i else ""
        panels.append(drawing.mask(title, note, image, answer.mask, card))
    for answer, title in zip(answers[1:], titles[1:], strict=True):
        differs = answer.mask != answers[0].mask
        panels.append(drawing.marked(title, "where it differs", image, differs))
    return panels


def _boxes(viewed: Viewed, titles: Sequence[str], card: Card) -> list[Panel]:
    image = viewed.sample.image
    assert image is not None, "views yields what can be decoded"
    sides = (float(card.input.width), float(card.input.height))
    panels = [drawing.boxes("truth", "", image, drawn(viewed.sample, card), card)]
    for i, (answer, title) in enumerate(zip(viewed.answers, titles, strict=True)):
        note = f"disagreement with the first {viewed.gaps[i]:.2f}" if i else ""
        found = answer.mapped(sides, (0.0, 0.0))
        panels.append(drawing.boxes(title, note, image, found, card))
    return panels


_PICTURES: Mapping[str, _Pictures] = {
    "segmentation": _Pictures(lambda one, other: float((one.mask != other.mask).mean()), _masks),
    "detection": _Pictures(disagreement, _boxes),
}
"""The tasks whose answers can be drawn."""


def _titles(models: Sequence[Model]) -> list[str]:
    """File names where they tell the networks apart, else paths."""
    paths = names(models)
    short = [os.path.basename(path) for path in paths]
    return short if len(set(short)) == len(short) else paths
