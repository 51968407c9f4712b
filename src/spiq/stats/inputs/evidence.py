"""Which convention an input follows: log-likelihoods in one table, summed.

A row of the table is one convention (:mod:`spiq.stats.inputs.conventions`), a column one of two
histories: the network was *normalized* (its BatchNormalization is in the file, or was folded into
the layers), or it is *bare*, and never had any. Evidence adds to the table, a softmax makes odds of
it.

- *Moments* that BatchNormalization states, of anything that is a x + b or W x + b of the input, are
  a mean and a deviation: a normal density in the distance from a convention's, both in deviations
  and powers of two.
- *Biases* of the first layer, and the size of its outputs: :mod:`spiq.stats.inputs.biases`.
- *Steps.* A network that shifts its input itself, a x + b, does so to have numbers around 0: those
  of the right convention are, (a m + b) / (a s) being no more than a few.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import log

import numpy as np

from spiq.stats.channel import Array
from spiq.stats.inputs.biases import any_betas, of_biases, witness
from spiq.stats.inputs.conventions import CONVENTIONS, Convention, Fourth
from spiq.stats.inputs.first_layers import FirstLayer
from spiq.stats.inputs.moments import moments

BARE = 0.05
"""Share of networks without normalization layers: a judgement."""

HABITS = {
    "caffe": "pixels from 0 to 255 less ImageNet's mean",
    "paddle": "pixels normalized by ImageNet's mean and std",
    "ultralytics": "pixels from 0 to 1",
}
"""What the pictures of a framework's own models are made into, by a word that its exporters leave
in the file: from the documentation of each."""

HABIT = 2.0
"""Log of how many times likelier that makes the convention: a judgement."""

MOMENTS_OFF = 0.3
"""Deviation of the distance of stated moments from the right convention's: 0.02 to 0.34 on 25
networks, 1.2 and more from wrong ones."""

NEAR = 1.0
"""Distance from which on stated moments are not those of a convention."""

_SHIFTED, _SHIFTED_MOST = 1.5, 8.0
"""Deviation of the mean of what is shifted in the network, over its deviation; and the most that it
says. Judgements: pixels from 0 to 1 less ImageNet's mean in pixels to 255 are off by 400."""

SURE = 3.0
"""Log of the odds from which on there is nothing to warn of: 20 to 1."""

_AS_LIKELY, _WIDER = log(2), (1.5, 4.0)
"""Log of the odds up to which a wider convention is taken, and how many times as wide. A judgement:
it changes none of 31 found or folded networks (YOLOv3-nano's two are alike, the wider by 0.01)."""

_MATERIAL = 0.5
"""Distance from which on two conventions are not the same for a quantizer."""

_STEPS = 255
"""Steps of the grid that pictures are put on."""

_WIDEST = 8.0
"""How many times wider than the likeliest convention's a range may become: three bits."""


@dataclass(frozen=True)
class Verdict:
    """How likely each convention is, by the evidence so far.

    Attributes:
        table: Log-likelihoods, prior included, shape (conventions, 2).
        stated: Mean and deviation of the input that normalization layers state, as far as known; or
            that biases let expect, where no convention fits them.
        spread: Of the logarithm of that deviation, if it is from biases.
        grounds: What was looked at, for the note.
        fourths: What a fourth channel may be, by convention; empty where there is none.
        betas: Logarithm of how likely each size of betas is, by convention.
    """

    table: Array
    stated: tuple[float | None, float] | None = None
    grounds: tuple[str, ...] = field(default=())
    spread: float = 0.0
    fourths: tuple[Fourth, ...] = ()
    betas: Array = field(default_factory=any_betas)

    @property
    def odds(self) -> Array:
        """The log-likelihood of each convention, whatever the history; the largest is 0."""
        total = np.logaddexp.reduce(self.table, axis=1)
        odds: Array = total - total.max()
        return odds

    @property
    def order(self) -> list[int]:
        """Conventions from the likeliest to the least likely one.

        Of those that are about as likely, one that is wider comes first: with pictures of half the
        size, all ranges behind would be cut in half; with twice the size, they lose a bit.
        """
        order = [int(index) for index in np.argsort(-self.odds, kind="stable")]
        width = {index: CONVENTIONS[index].high - CONVENTIONS[index].low for index in order}
        least, most = (factor * width[order[0]] for factor in _WIDER)
        wider = [i for i in order if self.odds[i] > -_AS_LIKELY and least < width[i] < most]
        first = max(wider, key=width.__getitem__, default=order[0])
        return [first, *(index for index in order if index != first)]

    @property
    def best(self) -> Convention:
        """The convention to take: the likeliest, or one about as likely and wider."""
        return CONVENTIONS[self.order[0]]

    @property
    def rivals(self) -> list[Convention]:
        """The conventions that are not out of the question and say something else."""
        if self.spread:
            return []
        return [other for other in self._possible if self._differs(other)]

    @property
    def runner_up(self) -> tuple[Convention, float]:
        """The likeliest convention that says something else, and the odds against it."""
        index = next(i for i in self.order[1:] if self._differs(CONVENTIONS[i]))
        over = self.odds[self.order[0]] - self.odds[index]
        return CONVENTIONS[index], float(np.exp(min(over, 700.0)))

    @property
    def outlandish(self) -> bool:
        """Whether what is stated of the input fits no convention."""
        mean, std = self.stated or (None, 0.0)
        return mean is not None and (self.spread > 0 or self.best.distance(mean, std) >= NEAR)

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high end of the range with the least error expected over what is possible.

        Each convention's error is that of its pictures, from black to white alike, relative to
        their variance; it counts by the convention's odds, and no more than all is lost.
        """
        possible = [self.best, *self._possible]
        share = np.exp([self.odds[CONVENTIONS.index(one)] for one in possible])
        spans = [
            (low, high)
            for low in {one.low for one in possible}
            for high in {one.high for one in possible}
            if high - low <= _WIDEST * (self.best.high - self.best.low)
        ]
        errors = [share @ [min(_error(one, *span), 1.0) for one in possible] for span in spans]
        return spans[int(np.argmin(errors))]

    def and_(self, evidence: Array, grounds: str) -> "Verdict":
        """Return the verdict with more evidence, an array of shape (conventions, 2)."""
        return replace(self, table=self.table + evidence, grounds=(*self.grounds, grounds))

    @property
    def _possible(self) -> list[Convention]:
        """The conventions that are not out of the question, but for the likeliest."""
        return [CONVENTIONS[index] for index in self.order[1:] if self.odds[index] > -SURE]

    def _differs(self, other: Convention) -> bool:
        return self.best.distance(other.mean, other.std) > _MATERIAL


def _error(convention: Convention, low: float, high: float) -> float:
    """Return the error of even pictures that are put on a grid between two ends, clipped there."""
    beyond = (max(low - convention.low, 0.0), max(convention.high - high, 0.0))
    clipping = sum(part**3 / 3 for part in beyond) / (convention.high - convention.low)
    return (clipping + ((high - low) / _STEPS) ** 2 / 12) / convention.std**2


def weigh(
    layers: Sequence[FirstLayer],
    origin: str = "",
    bare: float = BARE,
    colours: tuple[float, float] | None = None,
) -> Verdict:
    """Return the verdict of the file alone.

    Args:
        layers: The equations that the first layers state.
        origin: What the file says of where it comes from, in small letters.
        bare: How likely it is that the network was trained without normalization layers.
        colours: What they state of the colours, where another channel is not alike.
    """
    with np.errstate(divide="ignore"):  # of a history that cannot be
        usual = np.log([[c.usual * (1 - bare), c.bare * bare] for c in CONVENTIONS])
    verdict = Verdict(usual, colours or moments(list(layers)))
    if (habit := next((word for word in HABITS if word in origin), None)) is not None:
        verdict = verdict.and_(of_habit(habit), f"the habit of {habit}")
    if verdict.stated is not None:
        verdict = verdict.and_(of_moments(*verdict.stated), "what BatchNorm states")
    if verdict.stated is None and (shifted := [one for one in layers if one.steps[1].any()]):
        steps = of_steps(*shifted[0].steps)
        verdict = verdict.and_(steps, "the steps in front of its first layer")
    if verdict.stated is None and (layer := witness(layers)) is not None:
        evidence, betas = of_biases(layer)
        verdict = verdict.and_(evidence, "the first layer's biases and weights")
        verdict = replace(verdict, betas=betas)
    return verdict


def of_habit(word: str) -> Array:
    """Return what it says of each convention that a file comes from there."""
    return np.array([[c.name == HABITS[word]] * 2 for c in CONVENTIONS]) * HABIT


def of_moments(mean: float | None, std: float) -> Array:
    """Return what moments of the input say of each convention."""
    off = np.array(
        [c.distance(c.mean if mean is None else mean, std) / MOMENTS_OFF for c in CONVENTIONS]
    )
    return np.repeat(-0.5 * off[:, None] ** 2, 2, axis=1)


def of_steps(a: Array, b: Array) -> Array:
    """Return what a x + b in front of the first layer says of each convention."""
    off = [
        float(np.mean(np.abs(a * c.mean + b) / (np.abs(a) * c.std + 1e-30))) for c in CONVENTIONS
    ]
    says = -np.minimum(0.5 * np.square(np.array(off) / _SHIFTED), _SHIFTED_MOST)
    return np.repeat(says[:, None], 2, axis=1)
