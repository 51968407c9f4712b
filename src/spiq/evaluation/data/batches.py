"""Images in batches, preprocessed, while the ones before them are run.

A thread reads a few batches ahead: decompressing images keeps the runtime waiting otherwise.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from spiq.evaluation.cards.sections import Input
from spiq.evaluation.data.datasets import Sample
from spiq.evaluation.data.preprocess import to_input

_AHEAD = 3
"""Batches in memory besides the current one: a part of stored images is several of them."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images as the networks see them."""

    samples: list[Sample]
    """Those that can be decoded."""
    inputs: npt.NDArray[np.float32] | None
    """None where there are none of them."""
    skipped: list[str]
    """Why the others cannot be decoded."""


def batches(samples: Iterator[Sample], spec: Input, *, size: int) -> Iterator[Batch]:
    """Yield batches of ``size`` samples (the last one may be smaller), read ahead."""
    made = _batches(samples, spec, size)
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = deque(reader.submit(next, made, None) for _ in range(_AHEAD))
        while (batch := coming.popleft().result()) is not None:
            coming.append(reader.submit(next, made, None))
            yield batch


def _batches(samples: Iterator[Sample], spec: Input, size: int) -> Iterator[Batch]:
    while chunk := list(islice(samples, size)):
        images = [sample.image for sample in chunk if sample.image is not None]
        yield Batch(
            samples=[sample for sample in chunk if sample.image is not None],
            inputs=to_input(np.stack(images), spec) if images else None,
            skipped=[sample.problem for sample in chunk if sample.image is None],
        )
