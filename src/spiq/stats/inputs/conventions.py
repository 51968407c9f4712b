"""The usual ways to hand pictures to a network, and how likely each is before one looks.

``usual`` is how often networks come with a convention, ``bare`` the same of networks that were
trained without any normalization layer. Both are judgements, not measured: what exporters' and
model collections' preprocessing says. They decide where a file says next to nothing.
"""

from dataclasses import dataclass

import numpy as np

PIXEL_MEAN, PIXEL_STD = 0.45, 0.27
"""Mean and deviation of the pixels of natural images, of values from 0 to 1."""


@dataclass(frozen=True)
class Convention:
    """A usual way to hand pixels to a network.

    Attributes:
        name: What notes call it.
        low, high: The numbers that the darkest and the brightest pixel become.
        usual: Share of all networks.
        bare: Share of networks without normalization layers.
    """

    name: str
    low: float
    high: float
    usual: float = 0.0
    bare: float = 0.0

    @property
    def mean(self) -> float:
        """Expected mean of a natural image."""
        return self.low + PIXEL_MEAN * (self.high - self.low)

    @property
    def std(self) -> float:
        """Expected deviation of a natural image."""
        return PIXEL_STD * (self.high - self.low)

    def distance(self, mean: float, std: float) -> float:
        """Return how far moments are from the convention; under 1 is near."""
        scale = np.log(std / self.std) / np.log(2)
        return float(np.hypot(scale, (mean - self.mean) / self.std))


@dataclass(frozen=True)
class Fourth:
    """What biases say of the fourth channel of pictures, beside colours of some convention.

    Attributes:
        mean, std: Of the channel.
        spread: Of the logarithm of ``std``.
        odds: Log of those that it is no colour like the others.
    """

    mean: float
    std: float
    spread: float
    odds: float

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high end to take."""
        wide = self.std * float(np.exp(self.spread))
        return self.mean - 2.5 * wide, self.mean + 3 * wide


CONVENTIONS = (
    Convention("pixels from 0 to 1", 0.0, 1.0, 0.28, 0.15),
    Convention("pixels from -1 to 1", -1.0, 1.0, 0.16, 0.05),
    Convention("pixels from 0 to 255", 0.0, 255.0, 0.12, 0.10),
    Convention("pixels from -128 to 127", -128.0, 127.0, 0.03, 0.05),
    Convention("pixels from 0 to 255 less ImageNet's mean", -123.7, 151.1, 0.05, 0.45),
    Convention("pixels from -0.5 to 0.5", -0.5, 0.5, 0.01, 0.02),
    Convention("pixels normalized by ImageNet's mean and std", -2.118, 2.640, 0.32, 0.17),
    Convention(
        "pixels normalized by ImageNet's mean and std, then divided by 255",
        -2.118 / 255,
        2.640 / 255,
        0.01,
        0.01,
    ),
)
