"""Which of several ways to hand pictures to a network is right: the one with the best figures.

    metric(way) on N images from all over the data, with their labels; N = 16, 48, 192

A wrong mean or std costs points (a MobileNetV1 0.25 that learned pixels from -1 to 1 goes from
57.8 % of 400 images to 49.0 with ImageNet's mean and std, and to 0 with pixels from 0 to 255), and
so does a wrong order of channels, of which no file tells. Each round drops the ways that are worse
than the best one beyond doubt: where the 95 % interval of the difference over the same images ends
below 0. What is left after the last round is a tie, and figures do not decide it: the order does in
which ways are likely, and it is said. Where there are no labels, or nothing can be evaluated,
nothing is tried.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from spiq.errors import SpiqError
from spiq.evaluation.cards.read import Card, card_of
from spiq.evaluation.data.batches import batches
from spiq.evaluation.data.datasets import Sample
from spiq.evaluation.guess.preprocessing import Way, ways
from spiq.evaluation.guess.values import Network
from spiq.evaluation.runners import Runner, batch_size, open_all
from spiq.evaluation.task import Noise, Ran, Score, Task, task_of

_ROUNDS = (16, 48, 192)
"""Images that ways are tried on."""

_ENOUGH = 8
"""Images below which no difference is beyond doubt: an interval of so few says little."""

_BATCH = 8

_SECONDS = 30.0
"""A further round is left out where it would take longer, by what the one before took; one of twice
as long, the first, too, is given up once its first way has shown that."""

_PARTS = 8
"""Of a large data set, of each of which some images are taken."""

_GOLDEN = 0.6180339887498949
"""Multiples of it, less what is whole, are spread evenly however few they are."""

_NAMED = 3
"""Ways that a doubt names."""

_BYTES = 1 << 28
"""Of pictures that are kept, about."""

Table = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What trying came to.

    Attributes:
        way: The one to take.
        said: What was tried, with the figures, a line for each round.
        doubt: Which ways the images do not tell apart; "": they do.
        decided: Whether the images told which one it is.
    """

    way: Way
    said: tuple[str, ...] = ()
    doubt: str = ""
    decided: bool = False


@dataclass(frozen=True, eq=False)
class _Tried:
    """A way, and how the network did by it.

    Attributes:
        way: The way.
        answers: What the network says of the images, batch by batch.
        value: The metric, in percent.
    """

    way: Way
    answers: tuple[Sequence[Any], ...]
    value: float


def best(table: Table, network: Network, where: Path) -> Found:
    """Return the best of the ways that a network's file leaves.

    Args:
        table: The card without what the way says.
        network: The network.
        where: Where the card is going to be.
    """
    likeliest = ways(network.conventions, network.channels)[0]
    if table["dataset"]["layout"] == "pictures":
        return Found(likeliest)
    try:
        trial = _begun(table, likeliest, network, where)
        if not trial.samples:
            return Found(likeliest)
        among = ways(network.conventions, network.channels, trial.pixels)
        left, said = _rounds(trial, among)
    except SpiqError as error:
        return Found(likeliest, (f"no way was tried: {' '.join(str(error).split())}",))
    if not left:
        return Found(likeliest, said)
    return Found(left[0].way, said, _doubt(left), decided=len(left) < 2)


@dataclass(frozen=True)
class _Trial:
    """The network, and some images of the data.

    Attributes:
        card: The card, by the likeliest way.
        runner: The network, open.
        samples: The images that can be decoded.
    """

    card: Card
    runner: Runner
    samples: Sequence[Sample]

    @property
    def pixels(self) -> list[Any]:
        """The images as bytes."""
        return [sample.image for sample in self.samples if sample.image is not None]

    def by(self, way: Way, count: int) -> _Tried | None:
        """Evaluate the network by a way; None where it fails, such as by numbers too large."""
        keys: dict[str, Any] = {"divide_after": 1.0} | way.keys
        card = replace(self.card, input=replace(self.card.input, **keys))
        try:
            answers = self._answers(task_of(card), count)
            (score,) = self._scores([answers])
        except SpiqError:
            return None
        value = score.metric.value
        return _Tried(way, answers, value) if np.isfinite(value) else None

    def as_good_as_the_best(self, tried: Sequence[_Tried]) -> list[_Tried]:
        """Return the ways that are not worse than the best one beyond doubt."""
        leader = max(tried, key=lambda one: one.value)
        others = [one for one in tried if one is not leader]
        scores = self._scores([one.answers for one in (leader, *others)])[1:]
        worse = {
            one.way.name
            for one, score in zip(others, scores, strict=True)
            if score.comparison is not None and score.comparison.difference.high < 0
        }
        return [one for one in tried if one.way.name not in worse]

    def _answers(self, task: Task, count: int) -> tuple[Sequence[Any], ...]:
        """Return what the network says of some images, batch by batch."""
        size = batch_size([self.runner], min(_BATCH, task.most))
        made = batches(iter(self.samples[:count]), task.card.input, size=size)
        return tuple(
            task.answers(self.runner, self.runner.run(batch.inputs))
            for batch in made
            if batch.inputs is not None
        )

    def _scores(self, answers: Sequence[tuple[Sequence[Any], ...]]) -> Sequence[Score]:
        """Return how ways did beside the first of them."""
        task, ran = task_of(self.card), list[Ran]()
        for own in answers:
            tally, labels = task.tally(), (sample.label for sample in self.samples)
            for batch, first in zip(own, answers[0], strict=True):
                known = list(islice(labels, len(batch)))
                tally.add(batch, known, None if own is answers[0] else first)
            ran.append(Ran(runner=self.runner, tally=tally, noise=Noise()))
        return task.scores(ran)


def _begun(table: Table, way: Way, network: Network, where: Path) -> _Trial:
    card = card_of({**table, "input": {**table["input"], **way.keys}}, where)
    task = task_of(card)
    (runner,) = open_all([network.path], card, gives=task.gives)
    most = min(max(_BYTES // int(np.prod(card.input.shape)), _ROUNDS[0]), _ROUNDS[-1])
    found = [sample for sample in _from_all_over(task, most) if sample.image is not None]
    turns = np.argsort(np.arange(len(found)) * _GOLDEN % 1)
    return _Trial(card, runner, [found[turn] for turn in turns])


def _from_all_over(task: Task, most: int) -> Iterator[Sample]:
    """Yield so many images from all parts of a data set: neighbours may be alike, as in a film.

    Each part begins one further on, so that of classes that come in turn all are there.
    """
    total, samples = task.samples(None)
    if total <= most or task.card.dataset.layout == "npz":  # its parts are read as a whole
        yield from islice(samples, most)
        return
    for part in range(_PARTS):
        begin = min(part * total // _PARTS + part, total - most // _PARTS)
        yield from islice(task.samples(None, begin=begin)[1], most // _PARTS)


def _rounds(trial: _Trial, among: Sequence[Way]) -> tuple[list[_Tried], tuple[str, ...]]:
    """Try ways on more and more images; return those that are left, the likeliest first."""
    left, said, each = list[_Tried](), list[str](), 0.0
    for count in sorted({min(some, len(trial.samples)) for some in _ROUNDS}):
        if len(among) < 2 or each * count * len(among) > _SECONDS:
            break
        begin, found = time.perf_counter(), list[_Tried]()
        for done, way in enumerate(among, 1):
            if (one := trial.by(way, count)) is not None:
                found.append(one)
            each = (time.perf_counter() - begin) / (count * done)
            if each * count * len(among) > 2 * _SECONDS:
                return left, (*said, "trying more would take too long")
        if not found:
            said.append(f"tried on {count} images: by no way did the network give finite numbers")
            break
        said.append(_said(found, count))
        left = trial.as_good_as_the_best(found) if count >= _ENOUGH else found
        among = [one.way for one in left]
    return left, tuple(said)


def _said(tried: Sequence[_Tried], count: int) -> str:
    figures = "; ".join(f"{one.way.name}: {one.value:.1f} %" for one in tried)
    return f"tried on {count} images: {figures}"


def _doubt(left: Sequence[_Tried]) -> str:
    if len(left) < 2:
        return ""
    named = [f"{one.way.name} ({one.value:.1f} %)" for one in left[:_NAMED]]
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    return (
        f"the images do not tell apart {', '.join(named)}{more}: the first is taken, the likeliest "
        "by the file and by custom; label more images, or set [input] channels, mean and std"
    )
