"""How far a quantized network's outputs are from float's, and how far that may be off.

Both networks run on synthetic pictures that nothing was chosen by: four batches, each of one kind
(:func:`spiq.runtime.pictures.soft_picture`). Over all of them, with r float's output and y the
quantized one's,

    measured = 10 log10(sum (r - mean r)^2 / sum (r - y)^2).

Real images bring another signal and another error, so this is an estimate of the ratio on them.
With S_k the signal and N_k the error of batch k, each N_k at least a hundredth of all error,

    n     =  (sum S_k)^2 / sum S_k^2                  how many kinds have a part in the signal
    lift  =  min(n - 1, 1) 10 log10(mean N_k / geometric mean N_k)

    dB    =  measured + SHIFT + lift
    low   =  dB - BELOW - lift / 2 - rare
    high  =  dB + ABOVE + lift + rare,    rare = RARE max(0, 2 - n)

Where one kind of picture has nearly all of the error, it drives channels far beyond what any
photograph does: the geometric mean of the kinds' errors is then nearer to the truth than their sum,
which is the same where all have as much. An output that only one kind moves (a detector of faces)
has its error there, too: nothing is lifted, and it is known less. What an Exp makes is known less
yet, see :mod:`spiq.runtime.exponentials`. Fitted on the outputs of
published networks with BatchNorm kept and folded, all on integers and with layers given back to
float (docs/experiments.md, bench/honesty.py).

Where the file leaves open what numbers pixels become, the pictures are those of the likeliest
convention; the lower end then reaches to that of pictures that fill the range which the grid
of the input holds for its rivals.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from spiq.runtime.exponentials import at_most
from spiq.runtime.opened import Tensors
from spiq.runtime.snr import LIMIT_DB, Energy
from spiq.stats.channel import Array
from spiq.stats.exponential import ExpMask

BATCHES = 4
"""One of each kind of picture."""

SHIFT_DB = 0.5
BELOW_DB, ABOVE_DB, RARE_DB = 4.5, 4.0, 8.0
"""What the estimate is too low by in the median, the ends of the interval for nine outputs of ten,
and how much farther they are where one kind of picture alone moves the output."""

_LEAST = 0.01
"""Share of all error that each kind counts for at least."""
POOR_DB = 10.0
"""What may be under this is worth a warning."""


@dataclass(frozen=True)
class Agreement:
    """An estimate of an output's signal-to-noise ratio on real images, in dB.

    Attributes:
        db: The estimate.
        low: Where it may be down to: nine of ten outputs lie between the ends.
        high: Where it may be up to.
    """

    db: float
    low: float
    high: float

    def within(self, db: float, low: float) -> "Agreement":
        """Return it with an estimate and a lower end of so much at most."""
        return Agreement(min(self.db, db), min(self.low, low), self.high)

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.db:.0f} dB ({self.low:.0f} to {self.high:.0f})"


def agreement(batches: Sequence[Energy]) -> Agreement | str:
    """Return the estimate for an output from its sums over each batch, or why there is none."""
    whole = sum(batches, Energy())
    if whole.why_not:
        return whole.why_not
    if whole.noise == 0:
        return Agreement(LIMIT_DB, LIMIT_DB, LIMIT_DB)
    signals, errors = _by_kind(batches, whole)
    partaking = signals.sum() ** 2 / np.square(signals).sum()
    lift = min(partaking - 1, 1.0) * _unevenness(errors)
    rare = RARE_DB * max(0.0, 2 - partaking)
    apart = np.array([0, -BELOW_DB - lift / 2 - rare, ABOVE_DB + lift + rare])
    return Agreement(*np.clip(whole.db + SHIFT_DB + lift + apart, -LIMIT_DB, LIMIT_DB).tolist())


def _by_kind(batches: Iterable[Energy], whole: Energy) -> tuple[Array, Array]:
    """Return the signal and the error of each batch, about the mean of all."""
    mean = whole.total / whole.count
    parts = [(b.square - 2 * mean * b.total + mean**2 * b.count, b.noise) for b in batches]
    signals, errors = np.array(parts).T
    return signals, errors


def _unevenness(errors: Array) -> float:
    """Return by how much, in dB, the mean error is above the geometric mean: 0 where all agree."""
    errors = np.maximum(errors, _LEAST * errors.sum())
    return float(10 * (np.log10(errors.mean()) - np.log10(errors).mean()))


def agreements(
    expected: Sequence[Tensors],
    actual: Sequence[Tensors],
    exponential: Mapping[str, ExpMask] = MappingProxyType({}),
) -> dict[str, Agreement | str]:
    """Return the estimate for each output of floats by name, or why there is none.

    Args:
        expected: The float network's outputs, batch by batch.
        actual: The quantized network's, for the same inputs.
        exponential: Where an Exp made an output, by name.
    """
    found: dict[str, Agreement | str] = {}
    for name, array in expected[0].items():
        pairs = [(r[name], y[name]) for r, y in zip(expected, actual, strict=True)]
        if array.dtype.kind != "f":
            continue
        if all(r.shape == y.shape for r, y in pairs):
            one = agreement([Energy.of(r, y) for r, y in pairs])
            most = at_most(pairs, exponential[name]) if name in exponential else None
            found[name] = one.within(*most) if most and isinstance(one, Agreement) else one
        else:
            found[name] = "its size depends on what is found"
    return found


def down_to(
    likely: Mapping[str, Agreement | str], others: Mapping[str, Agreement | str]
) -> dict[str, Agreement | str]:
    """Return estimates whose lower ends reach to those of other inputs.

    Args:
        likely: Estimates on the inputs that are the likeliest, by output.
        others: Those on inputs that are not out of the question.
    """
    found = dict(likely)
    for name, one in likely.items():
        other = others.get(name)
        if isinstance(one, Agreement) and isinstance(other, Agreement):
            found[name] = one.within(one.db, other.low)
    return found


def doubtful(estimates: dict[str, Agreement]) -> list[str]:
    """Return one sentence on the outputs that may be poor; none where there are none."""
    poor = sorted(
        (name for name, one in estimates.items() if one.low < POOR_DB),
        key=lambda name: estimates[name].low,
    )
    if not poor:
        return []
    worst, others = estimates[poor[0]], len(poor) - 1
    if worst.db < POOR_DB:
        more = f", and {others} more may be so low" if others else ""
        doubt = f"{more}: under {POOR_DB:.0f} dB, answers suffer"
    else:
        more = f", as may {others} more" if others else ""
        doubt = f", but may have under {POOR_DB:.0f} dB{more}: answers would suffer"
    return [
        f"output '{poor[0]}' has an SNR of about {worst}{doubt}; see which layers lose it with "
        "`spiq inspect` on both files, and keep them in float with --exclude"
    ]
