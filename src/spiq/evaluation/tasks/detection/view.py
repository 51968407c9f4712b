"""Boxes to draw: what each network finds in an image, beside the labelled boxes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spiq.evaluation import runners
from spiq.evaluation.cards.sections import Card
from spiq.evaluation.runners import Model
from spiq.evaluation.tasks.detection.answers import answer, batches
from spiq.evaluation.tasks.detection.boxes import Detections
from spiq.evaluation.tasks.detection.decode import decoder
from spiq.evaluation.tasks.detection.samples import Sample, samples


class View(NamedTuple):
    """One image with its boxes, all in pixels of ``image``."""

    image: npt.NDArray[np.uint8]
    """(height, width, channels): RGB or grey, in the size of the network's input."""
    truth: Detections
    """The labelled boxes, with scores of 1."""
    found: list[Detections]
    """Of each network, best first; those of low score too."""
    name: str


def detections(
    models: Sequence[Model],
    card: Card,
    *,
    limit: int | None = None,
    threads: int = 0,
    batch: int = 8,
) -> Iterator[View]:
    """Yield each image that can be decoded, with its boxes; arguments as of ``evaluate``.

    Raises:
        ModelError: A network cannot be loaded or run.
        CardError: The data set is not as the card says, or a network does not fit the card.
        ConfigError: ``batch`` is below 1, no network is given, or Pillow is missing.
    """
    decode, opened = decoder(card), runners.open_all(models, card, threads=threads)
    size = runners.batch_size(opened, batch)
    _, images = samples(card, limit=limit)
    sides = (float(card.input.width), float(card.input.height))
    for chunk in batches(images, card.input, size=size):
        if chunk.inputs is None:
            continue
        outputs = [runner.run(chunk.inputs) for runner in opened]
        given = [answer(*pair, decode).found for pair in zip(opened, outputs, strict=True)]
        for sample, *found in zip(chunk.samples, *given, strict=True):
            assert sample.image is not None  # batches keeps only what can be decoded
            yield View(
                image=sample.image,
                truth=_drawn(sample, sides),
                found=[entry.mapped(sides, (0.0, 0.0)) for entry in found],
                name=sample.truth.name,
            )


def _drawn(sample: Sample, sides: tuple[float, float]) -> Detections:
    """Return the labelled boxes in pixels of the network's input."""
    scale, offset, size = (
        np.tile(values, 2) for values in (sample.scale, sample.offset, np.array(sides))
    )
    boxes = (sample.truth.boxes - offset) / scale * size
    return Detections(
        boxes=boxes.astype(np.float32),
        scores=np.ones(len(boxes), np.float32),
        labels=sample.truth.labels,
    )
