"""What is wrong with a card, found in seconds: before an evaluation, not an hour into it.

    card        it parses
    data set    its images are there, as many as it says
    files       every picture and every mask is there    (where they are files)
    image       one can be decoded; those before it are left out
    labels      they are classes
    model       it loads, and its input is the card's    (where a network is given)
    output      it can be decoded, for the first image   (likewise)

A step that fails ends the check, since what follows needs it. What may be meant, but would make the
figures mean nothing, is a warning.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spiq.errors import CardError, SpiqError
from spiq.evaluation import runners
from spiq.evaluation.cards.read import Card, read
from spiq.evaluation.data import folders
from spiq.evaluation.data.datasets import Sample
from spiq.evaluation.data.preprocess import to_input
from spiq.evaluation.task import labels_of, task_of
from spiq.io.video import Frame
from spiq.runtime.engines import Model


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One step of the check."""

    step: str
    ok: bool
    text: str
    """What was found, or what is wrong."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What :func:`check` found."""

    card: str
    ok: bool
    findings: tuple[Finding, ...]
    """In the order of the steps; a failed one is the last."""
    warnings: tuple[str, ...] = ()
    """Why figures may mean nothing although all steps went well, a line each."""


def check(
    path: str | os.PathLike[str], *, model: Model | None = None, outside: bool = False
) -> CheckResult:
    """Check the card at ``path``, and that ``model`` fits it where one is given.

    ``outside`` lets it name files outside its folder.

    What is wrong is in the result; nothing is raised for it.
    """
    findings, doubts = [], []
    step = "card"
    try:
        for step, text in _steps(path, model, outside):
            if step == _DOUBT:
                doubts.append(text)
            elif text:
                findings.append(Finding(step=step, ok=True, text=text))
    except SpiqError as error:
        findings.append(Finding(step=step, ok=False, text=str(error)))
    return CheckResult(
        card=os.fspath(path),
        ok=all(finding.ok for finding in findings),
        findings=tuple(findings),
        warnings=tuple(filter(None, doubts)),
    )


_DOUBT = "doubt"


def _steps(
    path: str | os.PathLike[str], model: Model | None, outside: bool
) -> Iterator[tuple[str, str]]:
    """Announce each step with no words before it, then say what it found."""
    card = read(path, outside=outside)
    task = task_of(card)
    yield "card", f"{card.name}, {card.task}"

    yield "data set", ""
    total, samples = task.samples(None)
    yield "data set", f"{total} images, layout {card.dataset.layout}, in {card.dataset.dir}"
    yield "files", ""
    yield "files", _there(task.files(), card)

    yield "image", ""
    first, damaged = _first(samples)
    assert first.image is not None
    for problem in dict.fromkeys([*damaged, *_damaged_videos(card)]):
        yield _DOUBT, f"left out: {problem}"
    yield "image", _image(first, card)
    yield "labels", ""
    unlabelled = card.dataset.layout == "pictures"
    yield "labels", "none" if unlabelled else task.labels(first.label)

    if model is None:
        yield _DOUBT, task.doubt(None)
        return
    yield "model", ""
    (runner,) = runners.open_all([model], card, gives=task.gives)
    yield "model", f"{runner.name}: input {runner.input!r} fits"
    yield "output", ""
    (answer,) = task.answers(runner, runner.run(to_input(first.image[None], card.input)))
    (label,) = labels_of(task, [first], [answer])
    yield "output", task.said(answer, label)
    yield _DOUBT, task.doubt(answer)


def _first(samples: Iterator[Sample]) -> tuple[Sample, list[str]]:
    """Return the first image that can be decoded, and why those before it cannot."""
    damaged = list[str]()
    for sample in samples:
        if sample.image is not None:
            return sample, damaged
        damaged.append(sample.problem)
    more = f", and {len(damaged) - 1} more" if len(damaged) > 1 else ""
    raise CardError(f"{damaged[0]}{more}")


def _damaged_videos(card: Card) -> Iterator[str]:
    """Yield why videos cannot be read: that shows before any is decoded."""
    if card.dataset.layout == "pictures":
        for entry in folders.entries(card):
            if isinstance(entry.image, Frame) and entry.image.problem:
                yield entry.image.problem


def _image(sample: Sample, card: Card) -> str:
    assert sample.image is not None
    inputs, size = (
        to_input(sample.image[None], card.input),
        f"{card.input.width}x{card.input.height}",
    )
    return f"{sample.name}: {size}, values {inputs.min():.3g} to {inputs.max():.3g}"


def _there(files: list[Path], card: Card) -> str:
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise CardError(
            f"{card.path}: {len(missing)} of {len(files)} files are missing, such as {missing[0]}"
        )
    return f"all {len(files)} are there" if files else ""
