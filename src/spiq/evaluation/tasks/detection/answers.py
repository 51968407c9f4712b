"""Batches of images through all networks, while the next ones are being read.

A thread reads and preprocesses a few batches ahead: decompressing images keeps the runtime waiting
otherwise.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from spiq.errors import CardError, ModelError
from spiq.evaluation.cards.sections import Input
from spiq.evaluation.data.preprocess import to_input
from spiq.evaluation.runners import Runner
from spiq.evaluation.tasks.detection.boxes import Detections, Floats
from spiq.evaluation.tasks.detection.decode import Decoder
from spiq.evaluation.tasks.detection.samples import Sample

_AHEAD = 3
"""Batches in memory besides the current one: a part of stored images is several of them."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one network gives for a batch."""

    outputs: Sequence[Floats]
    found: list[Detections]
    """Of each image, relative to the network's input."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images as the networks see them; those that cannot be decoded are in ``skipped``."""

    samples: list[Sample]
    skipped: list[Sample]
    inputs: Floats | None
    """None where no image of the batch can be decoded."""


def batches(samples: Iterator[Sample], spec: Input, *, size: int) -> Iterator[Batch]:
    """Yield batches of ``size`` samples (the last one may be smaller), read ahead."""
    made = _batches(samples, spec, size)
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = deque(reader.submit(next, made, None) for _ in range(_AHEAD))
        while (batch := coming.popleft().result()) is not None:
            coming.append(reader.submit(next, made, None))
            yield batch


def answer(runner: Runner, outputs: Sequence[Floats], decode: Decoder) -> Answer:
    """Decode what ``runner`` gave for a batch.

    Raises:
        ModelError: The outputs are not all finite.
        CardError: The outputs are not what the card says.
    """
    if not all(np.isfinite(output).all() for output in outputs):
        raise ModelError(f"{runner.name}: its outputs are not all finite: they say no boxes")
    try:
        found = decode(outputs)
    except CardError as error:
        raise CardError(f"{runner.name}: {error}") from error
    return Answer(outputs=outputs, found=found)


def _batches(samples: Iterator[Sample], spec: Input, size: int) -> Iterator[Batch]:
    while chunk := list(islice(samples, size)):
        good = [sample for sample in chunk if sample.image is not None]
        images = [sample.image for sample in good if sample.image is not None]
        yield Batch(
            samples=good,
            skipped=[sample for sample in chunk if sample.image is None],
            inputs=to_input(np.stack(images), spec) if images else None,
        )
