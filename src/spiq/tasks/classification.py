"""Top-1 and top-5 of several networks in one pass over the images.

Each batch is read and preprocessed once and then goes through every network. With the label's
logit l, an answer's rank is

    #{k: logit_k > l} + #{k before the label: logit_k = l}

so that equal logits, which are common behind an 8-bit output, count in the order of the classes, as
argmax does; top-k means rank < k. The signal-to-noise ratio against the first network is
10 log10(sum ref^2 / sum (ref - x)^2) over all logits of all images.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from spiq.errors import CardError, ConfigError, ModelError
from spiq.report.eval_results import (
    ClassificationComparison,
    ClassificationResult,
    ClassificationScore,
)
from spiq.runtimes.onnxruntime import session
from spiq.tasks import datasets, intervals
from spiq.tasks.cards import Card
from spiq.tasks.preprocess import to_input

Floats = npt.NDArray[np.float32]
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
    if not models:
        raise ConfigError("no network to evaluate: give at least one")
    runners = [_open(model, i, card, threads) for i, model in enumerate(models)]
    size, total = _batch_size(runners, batch), datasets.count(card, limit=limit)
    for done in _run(runners, datasets.batches(card, size=size, limit=limit), card):
        if progress is not None:
            progress(done, total)
    return ClassificationResult(
        card=card.name,
        task=card.task,
        dataset=card.dataset.name or card.dataset.dir.name,
        images=total,
        batch=size,
        threads=threads,
        seconds=time.perf_counter() - begin,
        models=tuple(_score(runner, runners[0], total) for runner in runners),
    )


def ranks(logits: Floats, labels: datasets.Labels) -> npt.NDArray[np.intp]:
    """How many classes of each row, (n, classes), come before the row's label; 0 is top-1."""
    at_label = np.take_along_axis(logits, labels[:, None], axis=1)
    before = np.arange(logits.shape[1]) < labels[:, None]
    ahead = (logits > at_label) | ((logits == at_label) & before)
    count: npt.NDArray[np.intp] = ahead.sum(axis=1)
    return count


@dataclass(kw_only=True)
class _Tally:
    """What accumulates over the batches, for one network."""

    seconds: float = 0.0
    signal: float = 0.0
    noise: float = 0.0
    answers: list[npt.NDArray[np.intp]] = field(default_factory=list)
    ranks: list[npt.NDArray[np.intp]] = field(default_factory=list)

    def add(self, logits: Floats, labels: datasets.Labels, reference: Floats | None) -> None:
        self.answers.append(logits.argmax(axis=1))
        self.ranks.append(ranks(logits, labels))
        if reference is not None:
            exact = reference.astype(np.float64)
            self.signal += float(np.square(exact).sum())
            self.noise += float(np.square(exact - logits).sum())

    def within(self, k: int) -> npt.NDArray[np.bool_]:
        return np.concatenate(self.ranks) < k


@dataclass(frozen=True, kw_only=True)
class _Runner:
    """A network that is ready to run."""

    name: str
    session: ort.InferenceSession
    input: str
    batch: int | None
    """The batch size that the network fixes; None: any."""
    tally: _Tally = field(default_factory=_Tally)


def _run(
    runners: Sequence[_Runner],
    batches: Iterable[tuple[datasets.Images, datasets.Labels]],
    card: Card,
) -> Iterator[int]:
    """Tally every batch for every network; yield the number of images done so far."""
    done = 0
    for images, labels in batches:
        inputs = to_input(images, card.input)
        reference: Floats | None = None
        for runner in runners:
            logits = _logits(runner, inputs, card)
            _check_labels(labels, logits.shape[1], card)
            runner.tally.add(logits, labels, reference)
            reference = logits if reference is None else reference
        done += len(labels)
        yield done


def _open(model: str | os.PathLike[str] | bytes, index: int, card: Card, threads: int) -> _Runner:
    name = f"model {index + 1}" if isinstance(model, bytes) else os.fspath(model)
    opened = session(model, threads=threads)
    inputs, outputs = opened.get_inputs(), opened.get_outputs()
    if [value.type for value in (*inputs, *outputs)] != ["tensor(float)"] * 2 or len(inputs) != 1:
        raise ModelError(
            f"{name}: its inputs are {_text([value.type for value in inputs])} and its outputs "
            f"{_text([value.type for value in outputs])}; a classification network has one "
            "tensor(float) of each: the images and the logits"
        )
    shape = inputs[0].shape
    wanted = ("N", *card.input.shape)
    if len(shape) != 4 or any(
        isinstance(have, int) and have != want
        for have, want in zip(shape[1:], wanted[1:], strict=True)
    ):
        raise CardError(
            f"{name}: its input {inputs[0].name!r} has shape {_text(shape)}, "
            f"but {card.path} says {_text(wanted)}: the card belongs to another network"
        )
    fixed = shape[0] if isinstance(shape[0], int) else None
    return _Runner(name=name, session=opened, input=inputs[0].name, batch=fixed)


def _text(shape: Sequence[Any]) -> str:
    return f"({', '.join(map(str, shape))})"


def _batch_size(runners: Sequence[_Runner], batch: int) -> int:
    if batch < 1:
        raise ConfigError(f"batch is {batch}: it must be at least 1")
    fixed = {runner.batch: runner.name for runner in runners if runner.batch is not None}
    if len(fixed) > 1:
        sizes = ", ".join(f"{name}: {size}" for size, name in fixed.items())
        raise ConfigError(f"the networks fix different batch sizes ({sizes}): evaluate them apart")
    return min(fixed, default=batch)


def _logits(runner: _Runner, inputs: Floats, card: Card) -> Floats:
    """Run one batch: (n, classes)."""
    count = len(inputs)
    if runner.batch is not None and count < runner.batch:
        inputs = np.concatenate([inputs, np.repeat(inputs[-1:], runner.batch - count, axis=0)])
    begin = time.perf_counter()
    try:
        (output,) = runner.session.run(None, {runner.input: inputs})
    except Exception as error:  # the runtime's exceptions share no public base class
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{runner.name}: ONNX Runtime cannot run it: {reason}") from error
    runner.tally.seconds += time.perf_counter() - begin
    _check_output(output, runner, len(inputs), card)
    logits: Floats = output.reshape(len(inputs), -1)[:count]
    return logits


def _check_output(output: npt.NDArray[Any], runner: _Runner, count: int, card: Card) -> None:
    if output.ndim < 2 or len(output) != count:
        raise ModelError(
            f"{runner.name}: {count} images give an output of shape {_text(output.shape)}; "
            "a classification network gives (images, classes)"
        )
    classes = card.decode.outputs if isinstance(card.decode.outputs, int) else card.decode.classes
    logits = output.size // count
    if classes is not None and logits != classes:
        raise CardError(
            f"{runner.name}: it answers with {logits} logits, "
            f"but {card.path} says {classes}: the card belongs to another network"
        )
    if not np.isfinite(output).all():
        raise ModelError(f"{runner.name}: its logits are not all finite, so they rank nothing")


def _check_labels(labels: datasets.Labels, classes: int, card: Card) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        raise CardError(
            f"{card.path}: labels of {card.dataset.dir} reach from {labels.min()} to "
            f"{labels.max()}, but the network has {classes} classes"
        )


def _score(runner: _Runner, first: _Runner, total: int) -> ClassificationScore:
    tally = runner.tally
    return ClassificationScore(
        model=runner.name,
        top1=intervals.wilson(int(tally.within(1).sum()), total),
        top5=intervals.wilson(int(tally.within(5).sum()), total),
        runtime_seconds=tally.seconds,
        images_per_second=total / max(tally.seconds, 1e-9),
        comparison=None if runner is first else _comparison(tally, first.tally),
    )


def _comparison(tally: _Tally, first: _Tally) -> ClassificationComparison:
    same = np.concatenate(tally.answers) == np.concatenate(first.answers)
    signal = max(tally.signal, float(np.finfo(np.float64).tiny))
    return ClassificationComparison(
        agreement=100 * float(same.mean()),
        snr_db=None if tally.noise == 0 else 10 * math.log10(signal / tally.noise),
        top1_difference=intervals.paired_difference(first.within(1), tally.within(1)),
    )
