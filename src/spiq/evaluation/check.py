"""What is wrong with a card, found in seconds: before an evaluation, not an hour into it.

    card        it parses
    data set    its images are there, as many as it says
    files       every picture and every mask is there    (where they are files)
    image       the first one can be decoded
    labels      they are classes
    model       it loads, and its input is the card's    (where a network is given)
    output      it can be decoded, for the first image   (likewise)

A step that fails ends the check, since what follows needs it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spiq.errors import CardError, SpiqError
from spiq.evaluation import runners
from spiq.evaluation.cards.read import Card, read
from spiq.evaluation.data.preprocess import to_input
from spiq.evaluation.probes import probe
from spiq.evaluation.runners import Model


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


def check(path: str | os.PathLike[str], *, model: Model | None = None) -> CheckResult:
    """Check the card at ``path``, and that ``model`` fits it where one is given.

    What is wrong is in the result; nothing is raised for it.
    """
    findings = []
    steps = _steps(path, model)
    step = "card"
    try:
        for step, text in steps:
            if text:
                findings.append(Finding(step=step, ok=True, text=text))
    except SpiqError as error:
        findings.append(Finding(step=step, ok=False, text=str(error)))
    return CheckResult(
        card=os.fspath(path), ok=all(finding.ok for finding in findings), findings=tuple(findings)
    )


def _steps(path: str | os.PathLike[str], model: Model | None) -> Iterator[tuple[str, str]]:
    """Announce each step with no words before it, then say what it found."""
    card = read(path)
    yield "card", f"{card.name}, {card.task}"
    looked = probe(card)
    yield "data set", ""
    total = looked.count()
    yield "data set", f"{total} images, layout {card.dataset.layout}, in {card.dataset.dir}"
    yield "files", ""
    yield "files", _there(looked.files(), card)
    yield "image", ""
    name, image, label = looked.first()
    inputs = to_input(image[np.newaxis], card.input)
    size = f"{card.input.width}x{card.input.height}"
    yield "image", f"{name}: {size}, values {inputs.min():.3g} to {inputs.max():.3g}"
    yield "labels", ""
    yield "labels", looked.labels()
    if model is not None:
        yield "model", ""
        (runner,) = runners.open_all([model], card)
        yield "model", f"{runner.name}: input {runner.input!r} fits"
        yield "output", ""
        yield "output", looked.answer(runner, inputs, label)


def _there(files: list[Path], card: Card) -> str:
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise CardError(
            f"{card.path}: {len(missing)} of {len(files)} files are missing, such as {missing[0]}"
        )
    return f"all {len(files)} are there" if files else ""
