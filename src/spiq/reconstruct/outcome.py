"""By how much something misses what it is held to, and whether it got better beyond doubt.

Errors are squared, relative to the signal, by importance of the channel, and one number per
picture. Some pictures lose many times as much as others, so that two means say little; by which
factor each one's error falls says more. Something is better if the mean of all falls, and so does
the typical one beyond doubt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import torch

from spiq.reconstruct.program import Values

_EVEN = 0.5
"""Share of the importance that all channels have alike: it is an estimate."""

_LEAST = 1e-20
"""What an error of nothing counts as."""


@dataclass(frozen=True)
class Outcome:
    """What became of a block, or of a network.

    Attributes:
        layers: Names of the layers in it.
        before: Its error relative to the signal, on pictures kept from learning.
        after: The same behind learning.
        gain: By how much the logarithm of a picture's error falls, in the mean.
        doubt: The standard error of that.
    """

    layers: tuple[str, ...]
    before: float
    after: float
    gain: float
    doubt: float

    @property
    def better(self) -> bool:
        """Whether it was worth it."""
        return self.after < self.before and self.gain > self.doubt


def outcome_of(layers: tuple[str, ...], before: torch.Tensor, after: torch.Tensor) -> Outcome:
    """Return what became of something, by its errors on each picture.

    >>> outcome_of((), torch.tensor([3.0, 1.0]), torch.tensor([2.5, 0.7])).better
    True
    >>> outcome_of((), torch.tensor([3.0, 1.0]), torch.tensor([1.5, 1.1])).better
    False
    """
    gains = before.clamp_min(_LEAST).log() - after.clamp_min(_LEAST).log()
    doubt = float(gains.std()) / sqrt(len(gains)) if len(gains) > 1 else 0.0
    return Outcome(layers, float(before.mean()), float(after.mean()), float(gains.mean()), doubt)


def missed(
    found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], scales: Values
) -> torch.Tensor:
    """Return the error of some tensors on each picture, in the mean of the tensors."""
    each = [
        ((found[name].float() - wanted[name]).square() * by).reshape(len(wanted[name]), -1).mean(1)
        for name, by in scales.items()
    ]
    return torch.stack(each).mean(0)


def scale(x: torch.Tensor, importance: torch.Tensor | None) -> torch.Tensor:
    """Return by what squared errors of a tensor count: importance, over the signal's power."""
    x = x.float()  # squares are no numbers of half precision
    weight = torch.ones((), device=x.device) if importance is None else importance
    weight = weight / weight.mean().clamp_min(1e-30)
    weight = _EVEN + (1 - _EVEN) * weight
    alone = weight.ndim == x.ndim
    shared = [axis for axis in range(x.ndim) if not alone or weight.shape[axis] == 1]
    power = (weight * x.var(shared, keepdim=True)).mean()
    return weight / (power + 1e-12)
