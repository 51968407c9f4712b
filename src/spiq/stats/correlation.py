"""How the numbers that a layer multiplies by one kernel go together.

Two inputs of a layer, channel c under tap k and channel d under tap l, have the correlation

    corr(x_c(k), x_d(l)) = R[c,d] T[k,l],

R between channels and T between places. Nothing measured is needed for a first guess: channels are
uncorrelated, and two pixels at distance d are correlated by 0.9^d, as in natural images.

Where the network was run on synthetic images (:mod:`spiq.runtime.correlations`), R and T follow
from sums over samples. Such images are not the ones that the network will see, so both are drawn
towards the first guess. On MobileNetV1 0.25, correlations of channels on dead leaves correlate by
0.7 to 1.0 with those on real images, and the least squares factor between them is 0.7 to 1; best
for the output are somewhat smaller ones. Few samples say little of many channels, so R is drawn
the more towards uncorrelated channels, the fewer samples there are of each.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.query import ints
from spiq.passes.cleanup import kernel_shape

Matrices = npt.NDArray[np.float32]

PIXEL_CORRELATION = 0.9

_CHANNELS_GUESSED, _TAPS_GUESSED = 0.4, 0.3
"""How far observed correlations are drawn towards the first guess."""

_TOO_FEW = 0.7
"""Share of channels among channels and samples from which on samples say nothing of R."""

_DEAD = 1e-6
"""Share of the largest variance under which a channel says nothing."""


@dataclass(frozen=True)
class Correlation:
    """Correlation of a layer's inputs, see above; one matrix for each of the g groups, or for all.

    Attributes:
        channels: R, shape (g, C/g, C/g); None where channels are taken as uncorrelated.
        taps: T, shape (g, K, K) or (1, K, K).
    """

    channels: Matrices | None
    taps: Matrices


def assumed(node: ir.Node) -> Correlation:
    """Return the first guess for a layer."""
    if node.op_type != "Conv":
        return Correlation(None, np.ones((1, 1, 1), np.float32))
    kernel = kernel_shape(node)
    dilations = ints(node, "dilations", [1] * len(kernel))
    places = np.argwhere(np.ones(kernel)) * dilations
    distance = np.linalg.norm(places[:, None] - places, axis=-1)
    return Correlation(None, (PIXEL_CORRELATION**distance)[None].astype(np.float32))


@dataclass
class Samples:
    """Sums over samples of a layer's input, groups apart.

    Attributes:
        count: How many samples.
        first: Sum of x_c(k), shape (g, C/g, K).
        channels: Sum of x_c x_d at one tap, shape (g, C/g, C/g).
        taps: Sum of x_c(k) x_c(l), shape (g, C/g, K, K).
        middle: The tap that ``channels`` looks through.
    """

    count: int
    first: npt.NDArray[np.float64]
    channels: npt.NDArray[np.float32]
    taps: npt.NDArray[np.float32]
    middle: int

    def add(self, windows: npt.NDArray[np.float32]) -> None:
        """Take in what the taps see, shape (g, C/g, K, positions)."""
        seen = windows[:, :, self.middle]
        self.count += windows.shape[-1]
        self.first += windows.sum(axis=-1)
        self.channels += seen @ seen.swapaxes(1, 2)
        self.taps += windows @ windows.swapaxes(2, 3)

    def correlation(self, guess: Correlation) -> Correlation:
        """Return the correlation that the samples show, drawn towards ``guess``."""
        mean = self.first / max(self.count, 1)
        seen = mean[:, :, self.middle]
        channels = _normalized(self.channels / self.count - seen[:, :, None] * seen[:, None])
        taps = _normalized(self.taps / self.count - mean[..., None] * mean[..., None, :])
        size = channels.shape[-1]
        few = size / (size + self.count)
        places = (1 - _TAPS_GUESSED) * taps.mean(axis=1) + _TAPS_GUESSED * guess.taps
        if few > _TOO_FEW:
            return Correlation(None, places.astype(np.float32))
        drawn = _CHANNELS_GUESSED + (1 - _CHANNELS_GUESSED) * few
        between = (1 - drawn) * channels + drawn * np.eye(size, dtype=np.float32)
        return Correlation(between.astype(np.float32), places.astype(np.float32))


def no_samples(groups: int, channels: int, taps: int) -> Samples:
    """Return the sums before the first sample."""
    return Samples(
        count=0,
        first=np.zeros((groups, channels, taps)),
        channels=np.zeros((groups, channels, channels), np.float32),
        taps=np.zeros((groups, channels, taps, taps), np.float32),
        middle=taps // 2,
    )


def _normalized(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return correlations, shape (..., n, n): 1 on the diagonal, 0 beside it for dead channels."""
    power = np.einsum("...ii->...i", covariance)
    live = power > _DEAD * max(float(power.max(initial=0)), 1e-30)
    inverse = np.where(live, 1 / np.sqrt(np.where(live, power, 1)), 0)
    found: npt.NDArray[np.float64] = covariance * inverse[..., None] * inverse[..., None, :]
    found = np.clip(found, -1, 1)
    np.einsum("...ii->...i", found)[...] = 1
    return found
