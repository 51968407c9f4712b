"""Pictures of what networks answer, for the images where they differ most, and a page of them.

Each picture has the image, the truth and the answer of every network side by side. What counts as
different is the share of pixels with another class than the first network's, for segmentation, the
disagreement of the boxes, for detection, and for classification first whether the answer is another
one, then how far its confidence moved; of several networks the one that differs most counts. A
single network differs from nothing: the first images are shown. ``index.html`` shows all pictures,
and for classification how labels and answers go together.
"""

import heapq
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from spiq.errors import OutputError
from spiq.evaluation import drawing, gallery
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data.batches import batches
from spiq.evaluation.panels import PICTURES, Viewed
from spiq.evaluation.runners import names, open_all
from spiq.evaluation.task import labels_of, task_of
from spiq.io.images import pillow
from spiq.runtime.engines import Model
from spiq.runtime.timing import Progress

COUNT = 8
"""Pictures that are made."""


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
        ConfigError: Pillow is not installed.
        OutputError: The folder or a picture cannot be written.
    """
    where, named = check_folder(folder, card), task_of(card).card
    chosen: list[tuple[float, int, Viewed]] = []  # of equal ones, the earlier is the greater
    answered: list[tuple[int, tuple[int, ...]]] = []
    for turn, viewed in enumerate(views(models, card, limit, threads, progress)):
        if card.task == "classification":
            best = tuple(int(answer.argmax()) for answer in viewed.answers)
            answered.append((int(viewed.sample.label), best))
        candidate = (max(viewed.gaps), -turn, viewed)
        (heapq.heappush if len(chosen) < count else heapq.heappushpop)(chosen, candidate)

    titles = _titles(models)
    try:
        where.mkdir(exist_ok=True)
        written = [
            _save(viewed, rank, where, titles, named)
            for rank, (_, _, viewed) in enumerate(sorted(chosen, reverse=True), start=1)
        ]
        page = gallery.page(named, titles, written, answered)
        (where / "index.html").write_text(page, encoding="utf-8")
        return written
    except OSError as error:
        raise OutputError(f"{where}: cannot write pictures: {error.strerror or error}") from error


def check_folder(folder: str | os.PathLike[str], card: Card) -> Path:
    """Check that pictures can be made and written, before the work that it takes.

    Raises:
        ConfigError: Pillow is not installed.
        OutputError: There cannot be such a folder.
    """
    where = Path(folder)
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
    task, gap = task_of(card), PICTURES[card.task].gap
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


def _save(viewed: Viewed, rank: int, folder: Path, titles: Sequence[str], card: Card) -> Path:
    name = viewed.sample.name
    stem = re.sub(r"\.(npz|jpe?g|png|bmp|ppm|webp|tiff?)\b", "", name)
    path = folder / f"{rank:02}-{re.sub(r'[^A-Za-z0-9._-]+', '-', stem)}.png"
    panels = PICTURES[card.task].panels(viewed, titles, card)
    drawing.sheet(panels, title=name, card=card).save(path)
    return path


def _titles(models: Sequence[Model]) -> list[str]:
    """File names where they tell the networks apart, else paths."""
    paths = names(models)
    short = [os.path.basename(path) for path in paths]
    return short if len(set(short)) == len(short) else paths
