"""Top-1 and top-5 of several networks in one pass over the images.

Each batch is read and preprocessed once and then goes through every network. With the label's
logit l, an answer's rank is

    #{k: logit_k > l} + #{k before the label: logit_k = l}

so that equal logits, which are common behind an 8-bit output, count in the order of the classes, as
argmax does; top-k means rank < k. The signal-to-noise ratio against the first network is
10 log10(sum (ref - mean ref)^2 / sum (ref - x)^2) over all logits of all images.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spiq.errors import CardError, ModelError
from spiq.evaluation import intervals
from spiq.evaluation.cards.read import Card
from spiq.evaluation.data import datasets
from spiq.evaluation.data.preprocess import to_input
from spiq.evaluation.results import (
    ClassificationComparison,
    ClassificationResult,
    ClassificationScore,
)
from spiq.evaluation.runners import Floats, Runner, batch_size, open_all
from spiq.runtime.snr import Energy

Progress = Callable[[int, int], None]


def evaluate(
    models: Sequence[str | os.PathLike[str] | bytes],
    card: Card,
    *,
    limit: int | None = None,
    threads: int = 0,
    batch: int = 8,
    progress: Progress | None = None,
) -> ClassificationResult:
    """Measure ``models`` on the card's images; the first one is what the others are compared with.

    Args:
        models: Paths or bytes of ONNX files.
        card: A classification card.
        limit: Only that many images, from the first on.
        threads: Threads of the runtime; 0 lets it choose.
        batch: Images per call; a batch size that a network fixes takes its place. Use 1 where a
            network is quantized dynamically: its ranges are taken over the whole batch.
        progress: Called with images done and images in all.

    Raises:
        ModelError: A network cannot be loaded or run, or is not a classification network.
        CardError: The data set is not as the card says, or a network does not fit the card.
        ConfigError: ``batch`` or ``limit`` is below 1, or no network is given.
    """
    begin = time.perf_counter()
    runners = open_all(models, card, threads=threads)
    size, total = batch_size(runners, batch), datasets.count(card, limit=limit)
    skipped: list[str] = []
    tallies = [_Tally() for _ in runners]
    done = 0
    for images, labels in datasets.batches(card, size=size, limit=limit, skipped=skipped):
        _add(images, labels, runners, tallies, card)
        done += len(labels)
        if progress is not None:
            progress(done + len(skipped), total)
    return ClassificationResult(
        card=card.name,
        task=card.task,
        dataset=card.dataset.name or card.dataset.dir.name,
        images=done,
        batch=size,
        threads=threads,
        seconds=time.perf_counter() - begin,
        models=tuple(
            _score(runner, tally, tallies[0], done)
            for runner, tally in zip(runners, tallies, strict=True)
        ),
        skipped=tuple(skipped),
    )


def ranks(logits: Floats, labels: datasets.Labels) -> npt.NDArray[np.intp]:
    """How many classes of each row, (n, classes), come before the row's label; 0 is top-1."""
    at_label = np.take_along_axis(logits, labels[:, None], axis=1)
    before = np.arange(logits.shape[1]) < labels[:, None]
    ahead = (logits > at_label) | ((logits == at_label) & before)
    count: npt.NDArray[np.intp] = ahead.sum(axis=1)
    return count


def logits(runner: Runner, inputs: Floats, card: Card) -> Floats:
    """Run one batch: (n, classes).

    Raises:
        ModelError: The network fails, or its logits are not all finite.
        CardError: There are more or fewer than the card says.
    """
    (output,) = runner.run(inputs)
    rows: Floats = output.reshape(len(inputs), -1)
    classes = card.decode.outputs if isinstance(card.decode.outputs, int) else card.decode.classes
    if classes is not None and rows.shape[1] != classes:
        raise CardError(
            f"{runner.name}: it answers with {rows.shape[1]} logits, "
            f"but {card.path} says {classes}: the card belongs to another network"
        )
    if not np.isfinite(rows).all():
        raise ModelError(f"{runner.name}: its logits are not all finite, so they rank nothing")
    return rows


def check_labels(labels: datasets.Labels, classes: int, card: Card) -> None:
    """Refuse labels, (n,), that are no classes.

    Raises:
        CardError: One is below 0 or not below ``classes``.
    """
    if labels.min() < 0 or labels.max() >= classes:
        raise CardError(
            f"{card.path}: labels of {card.dataset.dir} reach from {labels.min()} to "
            f"{labels.max()}, but the network has {classes} classes"
        )


@dataclass(kw_only=True)
class _Tally:
    """What accumulates over the batches, for one network."""

    energy: Energy = field(default_factory=Energy)
    answers: list[npt.NDArray[np.intp]] = field(default_factory=list)
    ranks: list[npt.NDArray[np.intp]] = field(default_factory=list)

    def add(self, logits: Floats, labels: datasets.Labels, reference: Floats | None) -> None:
        self.answers.append(logits.argmax(axis=1))
        self.ranks.append(ranks(logits, labels))
        if reference is not None:
            self.energy += Energy.of(reference, logits)

    def within(self, k: int) -> npt.NDArray[np.bool_]:
        return np.concatenate(self.ranks) < k


def _add(
    images: datasets.Images,
    labels: datasets.Labels,
    runners: Sequence[Runner],
    tallies: Sequence[_Tally],
    card: Card,
) -> None:
    """Tally a batch for every network."""
    inputs = to_input(images, card.input)
    reference: Floats | None = None
    for runner, tally in zip(runners, tallies, strict=True):
        rows = logits(runner, inputs, card)
        check_labels(labels, rows.shape[1], card)
        tally.add(rows, labels, reference)
        reference = rows if reference is None else reference


def _score(runner: Runner, tally: _Tally, first: _Tally, total: int) -> ClassificationScore:
    return ClassificationScore(
        model=runner.name,
        top1=intervals.wilson(int(tally.within(1).sum()), total),
        top5=intervals.wilson(int(tally.within(5).sum()), total),
        runtime_seconds=runner.seconds,
        images_per_second=total / max(runner.seconds, 1e-9),
        comparison=None if tally is first else _comparison(tally, first),
    )


def _comparison(tally: _Tally, first: _Tally) -> ClassificationComparison:
    same = np.concatenate(tally.answers) == np.concatenate(first.answers)
    return ClassificationComparison(
        agreement=100 * float(same.mean()),
        snr_db=tally.energy.db_unless_equal,
        top1_difference=intervals.paired_difference(first.within(1), tally.within(1)),
    )
