"""Mean average precision of several networks in one pass over the images.

Each batch is read and preprocessed once and then goes through every network; its outputs are
decoded while the next one runs. Only boxes are kept. The signal-to-noise ratio of an output against
the first network's is 10 log10(sum (ref - mean ref)^2 / sum (ref - x)^2) over all its values of all
images.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from spiq.errors import CardError, ModelError
from spiq.evaluation import runners
from spiq.evaluation.cards.sections import Card
from spiq.evaluation.runners import Model, Runner
from spiq.evaluation.tasks.detection import matching, precision
from spiq.evaluation.tasks.detection.answers import Answer, Batch, answer, batches
from spiq.evaluation.tasks.detection.boxes import Detections, Floats
from spiq.evaluation.tasks.detection.decode import Decoder, decoder
from spiq.evaluation.tasks.detection.disagreement import disagreement
from spiq.evaluation.tasks.detection.results import (
    DetectionComparison,
    DetectionResult,
    DetectionScore,
)
from spiq.evaluation.tasks.detection.samples import Sample, samples
from spiq.evaluation.tasks.detection.settings import settings_of
from spiq.evaluation.tasks.detection.truth import Truth
from spiq.runtime.snr import Energy

_WAITING = 2
"""Batches whose outputs wait to be decoded; bounds the memory."""

Progress = Callable[[int, int], None]


def evaluate(
    models: Sequence[Model],
    card: Card,
    *,
    limit: int | None = None,
    threads: int = 0,
    batch: int = 8,
    progress: Progress | None = None,
) -> DetectionResult:
    """Measure ``models`` on the card's images; the first one is what the others are compared with.

    Args:
        models: Paths or bytes of ONNX files.
        card: A detection card.
        limit: Only that many images, from the first on.
        threads: Threads of the runtime; 0 lets it choose.
        batch: Images per call; a batch size that a network fixes takes its place. Use 1 where a
            network is quantized dynamically: its ranges are taken over the whole batch.
        progress: Called with images done and images in all.

    Raises:
        ModelError: A network cannot be loaded or run.
        CardError: The data set is not as the card says, or a network does not fit the card.
        ConfigError: ``batch`` or ``limit`` is below 1, no network is given, or pycocotools or
            Pillow are missing.
    """
    begin = time.perf_counter()
    matching.cocotools()
    decode, opened = decoder(card), runners.open_all(models, card, threads=threads)
    size = runners.batch_size(opened, batch)
    total, images = samples(card, limit=limit)
    run = _Run(tallies=[_Tally(runner=runner) for runner in opened])
    for done in _collect(run, images, card, decode, size):
        if progress is not None:
            progress(done, total)
    if not run.truths:
        raise CardError(f"{card.path}: none of {total} images can be decoded; {run.skipped[0]}")
    scores, boxes = _scores(run, card)
    seconds = time.perf_counter() - begin
    return DetectionResult(
        card=card.name,
        task=card.task,
        dataset=card.dataset.name or card.dataset.dir.name,
        images=len(run.truths),
        boxes=boxes,
        batch=size,
        threads=threads,
        seconds=seconds,
        runtime_share=sum(runner.seconds for runner in opened) / seconds,
        names=tuple(entry.name for entry in run.truths),
        skipped=tuple(run.skipped),
        models=scores,
    )


@dataclass(kw_only=True)
class _Tally:
    """What accumulates over the batches, for one network."""

    runner: Runner
    found: list[Detections] = field(default_factory=list)
    """Of each image, in original pixels."""
    energies: list[Energy] = field(default_factory=list)
    """Of each output."""
    disagreement: list[float] = field(default_factory=list)

    def add(self, given: Answer, batch: Sequence[Sample], reference: Answer | None) -> None:
        self.found += [
            entry.mapped(sample.scale, sample.offset)
            for entry, sample in zip(given.found, batch, strict=True)
        ]
        if reference is None:
            return
        energies = [
            _energy(self.runner.name, x, ref)
            for x, ref in zip(given.outputs, reference.outputs, strict=True)
        ]
        before = self.energies or [Energy()] * len(energies)
        self.energies = [old + new for old, new in zip(before, energies, strict=True)]
        self.disagreement += map(disagreement, reference.found, given.found)


@dataclass(kw_only=True)
class _Run:
    """What accumulates over the batches."""

    tallies: list[_Tally]
    truths: list[Truth] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def _collect(
    run: _Run, images: Iterator[Sample], card: Card, decode: Decoder, size: int
) -> Iterator[int]:
    """Tally every batch for every network; yield the number of images done so far."""
    waiting: deque[Future[int]] = deque()
    with ThreadPoolExecutor(max_workers=1) as decoding:  # one: the order of the images stays
        for batch in batches(images, card.input, size=size):
            inputs = batch.inputs
            outputs = [] if inputs is None else [tally.runner.run(inputs) for tally in run.tallies]
            waiting.append(decoding.submit(_digest, run, batch, outputs, decode))
            if len(waiting) > _WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _digest(run: _Run, batch: Batch, outputs: Sequence[Sequence[Floats]], decode: Decoder) -> int:
    """Tally a batch with each network's outputs; return the number of images done so far."""
    run.skipped += [sample.problem for sample in batch.skipped]
    run.truths += [sample.truth for sample in batch.samples]
    reference: Answer | None = None
    for tally, given in zip(run.tallies, outputs, strict=False):
        found = answer(tally.runner, given, decode)
        tally.add(found, batch.samples, reference)
        reference = found if reference is None else reference
    return len(run.truths) + len(run.skipped)


def _energy(name: str, x: Floats, reference: Floats) -> Energy:
    if x.shape != reference.shape:
        raise ModelError(
            f"{name}: an output of shape {runners.shape_text(x.shape)} stands where the first "
            f"network's has {runners.shape_text(reference.shape)}: it is another network"
        )
    return Energy.of(reference, x)


def _scores(run: _Run, card: Card) -> tuple[tuple[DetectionScore, ...], int]:
    """Return the score of each network, and how many boxes there are to be found."""
    most, counts = settings_of(card).max_detections, precision.weights(len(run.truths))
    measured = []
    for tally in run.tallies:
        matches = matching.match(run.truths, tally.found, max_detections=most)
        measured.append(precision.precisions(matches, counts))
    boxes = len(matches.truth_label)
    if not boxes:
        raise CardError(f"{card.path}: the annotations have no boxes in {len(run.truths)} images")
    first = measured[0]
    scores = [
        DetectionScore(
            model=tally.runner.name,
            mAP50=precision.estimate(own.mAP50),
            mAP=precision.estimate(own.mAP),
            voc_mAP50=precision.estimate(own.voc),
            detections=sum(len(entry.labels) for entry in tally.found),
            runtime_seconds=tally.runner.seconds,
            images_per_second=len(run.truths) / max(tally.runner.seconds, 1e-9),
            comparison=None if own is first else _comparison(tally, own, first, run.tallies[0]),
        )
        for tally, own in zip(run.tallies, measured, strict=True)
    ]
    return tuple(scores), boxes


def _comparison(
    tally: _Tally, own: precision.Precisions, first: precision.Precisions, reference: _Tally
) -> DetectionComparison:
    return DetectionComparison(
        snr_db={
            name: energy.db_unless_equal
            for name, energy in zip(reference.runner.outputs, tally.energies, strict=True)
        },
        mAP50_difference=precision.estimate(own.mAP50 - first.mAP50),
        mAP_difference=precision.estimate(own.mAP - first.mAP),
        disagreement=tuple(tally.disagreement),
    )
