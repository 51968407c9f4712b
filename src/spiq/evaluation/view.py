"""Pictures of what networks answer, for the images where they differ most.

Each picture has the image, the truth and the answer of every network side by side. What counts as
different is the share of pixels with another class than the first network's, for segmentation, and
the disagreement of the boxes, for detection; of several networks the one that differs most counts.
A single network differs from nothing: the first images are shown.
"""

import heapq
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spiq.errors import ConfigError, OutputError
from spiq.evaluation import drawing, runners
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data import datasets
from spiq.evaluation.data.datasets import Sample
from spiq.evaluation.data.preprocess import to_input
from spiq.evaluation.drawing import Panel
from spiq.evaluation.runners import Model
from spiq.evaluation.tasks import confusion, segmentation

if TYPE_CHECKING:
    from spiq.evaluation.tasks.detection import View

Mask = npt.NDArray[np.integer]
Void = npt.NDArray[np.bool_] | None

COUNT = 8
"""Pictures that are made."""

Progress = Callable[[int, int], None]
_Found = Iterator[tuple[float, str, Callable[[], list[Panel]]]]
"""How much the networks differ on an image, its name, and how to draw it."""


@dataclass(frozen=True, order=True)
class _Candidate:
    """An image and how to draw it, ordered by how much networks differ, then the earlier first."""

    difference: float
    turn: int
    name: str = field(compare=False)
    draw: Callable[[], list[Panel]] = field(compare=False)


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
    if card.task == "detection":
        found, total = _boxes(models, card, limit, threads)
    else:
        found, total = _masks(models, card, limit, threads)
    chosen: list[_Candidate] = []
    for turn, (difference, name, draw) in enumerate(found):
        candidate = _Candidate(difference, -turn, name, draw)
        (heapq.heappush if len(chosen) < count else heapq.heappushpop)(chosen, candidate)
        if progress is not None:
            progress(turn + 1, total)
    try:
        where.mkdir(exist_ok=True)
        return [
            _save(candidate, rank, where, card)
            for rank, candidate in enumerate(sorted(chosen, reverse=True), start=1)
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
    if card.task not in ("detection", "segmentation"):
        raise ConfigError(
            f"{card.path}: pictures are of masks and of boxes; task {card.task!r} has neither"
        )
    drawing.check()
    if where.exists() and not where.is_dir():
        raise OutputError(f"{where} is a file: give a folder for the pictures")
    if where.exists() and any(where.iterdir()):
        raise OutputError(f"{where} is not empty: give another folder, pictures would be mixed up")
    if not where.parent.is_dir():
        raise OutputError(f"{where}: there is no folder {where.parent}: make it first")
    return where


def _save(candidate: _Candidate, rank: int, folder: Path, card: Card) -> Path:
    stem = re.sub(r"\.(npz|jpe?g|png|bmp|ppm|webp|tiff?)\b", "", candidate.name)
    path = folder / f"{rank:02}-{re.sub(r'[^A-Za-z0-9._-]+', '-', stem)}.png"
    sheet = drawing.sheet(candidate.draw(), title=candidate.name, card=card)
    sheet.save(path)
    return path


def _masks(
    models: Sequence[Model], card: Card, limit: int | None, threads: int
) -> tuple[_Found, int]:
    opened = runners.open_all(models, card, threads=threads)
    total = datasets.count(card, limit=limit)
    names = _names(models)

    def found() -> _Found:
        for sample in datasets.samples(card, limit=limit):
            inputs = to_input(sample.image[np.newaxis], card.input)
            logits = [segmentation.logits(runner, inputs, card)[0] for runner in opened]
            answers = [confusion.answers(entry) for entry in logits]
            ignored = segmentation.void(sample.label, card, len(logits[0]))
            shares = [100 * float((answer != answers[0]).mean()) for answer in answers]

            def draw(
                sample: Sample = sample,
                answers: list[Mask] = answers,
                ignored: Void = ignored,
                shares: list[float] = shares,
            ) -> list[Panel]:
                return _mask_panels(sample, answers, ignored, shares, names, card)

            yield max(shares), sample.name, draw

    return found(), total


def _mask_panels(
    sample: Sample,
    answers: Sequence[Mask],
    ignored: Void,
    shares: Sequence[float],
    names: Sequence[str],
    card: Card,
) -> list[Panel]:
    classes = card.decode.classes or 256
    label = np.where(sample.label < classes, sample.label, classes).astype(np.int64)
    valid = np.ones(label.shape, np.bool_) if ignored is None else ~ignored
    label[~valid] = classes
    panels = [
        drawing.plain("image", "", sample.image),
        drawing.mask("truth", "grey: void", sample.image, label, card),
    ]
    for i, (answer, name) in enumerate(zip(answers, names, strict=True)):
        right = 100 * float((answer == sample.label)[valid].mean()) if valid.any() else 0.0
        note = f"{right:.1f} % right" + (f", {shares[i]:.1f} % other than the first" if i else "")
        panels.append(drawing.mask(name, note, sample.image, answer, card))
    for answer, name in zip(answers[1:], names[1:], strict=True):
        differs = answer != answers[0]
        panels.append(drawing.marked(f"{name}", "where it differs", sample.image, differs))
    return panels


def _boxes(
    models: Sequence[Model], card: Card, limit: int | None, threads: int
) -> tuple[_Found, int]:
    from spiq.evaluation.tasks.detection import detections, disagreement, truth

    total = len(truth.read(card, limit=limit))
    names = _names(models)

    def found() -> _Found:
        for view in detections(models, card, limit=limit, threads=threads, batch=1):
            gaps = [disagreement(view.found[0], other) for other in view.found]

            def draw(view: "View" = view, gaps: list[float] = gaps) -> list[Panel]:
                panels = [drawing.boxes("truth", "", view.image, view.truth, card)]
                for i, (boxes, name) in enumerate(zip(view.found, names, strict=True)):
                    note = f"disagreement with the first {gaps[i]:.2f}" if i else ""
                    panels.append(drawing.boxes(name, note, view.image, boxes, card))
                return panels

            yield max(gaps), view.name, draw

    return found(), total


def _names(models: Sequence[Model]) -> list[str]:
    """File names where they tell the networks apart, else paths."""
    paths = [
        f"model {i + 1}" if isinstance(model, bytes) else os.fspath(model)
        for i, model in enumerate(models)
    ]
    short = [os.path.basename(path) for path in paths]
    return short if len(set(short)) == len(short) else paths
