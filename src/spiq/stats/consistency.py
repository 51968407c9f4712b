"""Whether running statistics still are those that a network was trained with.

A forward pass in training mode before export multiplies every running mean and variance by 0.9;
fine-tuning with BatchNormalization frozen leaves them to what the weights were. Nothing of it
shows in the file, but the means contradict what the layers before imply. With the terms B, G, K of
:mod:`spiq.stats.implied` (base, gap, skew), over the channels o of a layer,

    mean_o = s (B_o + theta G_o + kappa K_o) + residual,

a regression with Huber's weights. theta and kappa say how far from normal distributions are, and
are tied to 0.92 +- 0.1 and 0.2 +- 0.2, what published networks show; s is 1 in a healthy layer.
Layers are pooled by their errors, with Huber's weights again. The median over layers of the
residuals' spread, in deviations of a channel, is the scatter. Measured on the nine networks of the
zoo, on them with statistics of other images, and on 14 of torchvision's with random weights and the
statistics of real images:

=========  ==============  ==============
network    s               scatter
=========  ==============  ==============
healthy    0.979 to 1.024  0.004 to 0.073
times 0.9  0.883 to 0.924  the same
=========  ==============  ==============

Fine-tuning four small networks for two epochs with frozen statistics gave a scatter of 0.08 (and
s of 0.85), 0.21, 0.26 and 0.37; a bound of 0.15 lies between.

Where most channels lie around the kink of an activation, as after a few epochs of training, s is
what theta is taken to be (12 such networks: s from 0.98 to 1.09, scatter up to 0.09). So a factor
counts only if no theta from 0.7 to 1.1 explains it. Running variances say less than means: implied
ones are off by the correlation of channels, a factor of 0.5 to 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spiq.graph.query import where
from spiq.passes.prepare import Prepared
from spiq.stats.channel import Array
from spiq.stats.implied import Implied, implied_means
from spiq.stats.propagate import Measured

_THETA, _THETA_BETWEEN_LAYERS, _THETAS = 0.92, 0.1, (0.7, 1.1)
_KAPPA, _KAPPA_BETWEEN_LAYERS = 0.2, 0.2

_BETWEEN_LAYERS = 0.03
"""Error of s that residuals do not show, for each activation that a layer is behind."""

_UNSURE = 0.3
"""Error of s from which on a layer says nothing."""

_FEWEST_CHANNELS, _FEWEST_LAYERS = 6, 3
_NOTHING = 1e-4
"""Implied means, in deviations, that may be rounding errors."""

_FAR, _ERRORS = 0.05, 2.5
"""Distance of s from 1 that is too far, and in its standard errors."""

_SCATTERED = 0.15


@dataclass(frozen=True)
class Factor:
    """By what factor the running means of one BatchNormalization, or of a network, differ.

    Attributes:
        value: Stated over implied means, s.
        error: Its standard error.
        scatter: Spread of stated around implied means, in deviations of a channel.
        where: The layer in front of the BatchNormalization; of a network, that which contradicts
            most.
    """

    value: float
    error: float
    scatter: float
    where: str

    @property
    def surprise(self) -> float:
        """Distance of the factor from 1, in standard errors."""
        return abs(self.value - 1) / self.error


def statistics_doubts(prepared: Prepared, measured: Measured) -> list[str]:
    """Return a sentence if the network's running statistics look spoilt.

    Args:
        prepared: The network.
        measured: Its statistics.
    """
    implied = list(implied_means(prepared, measured))
    layers = factors(implied)
    network = pooled(layers)
    if network is None:
        return []
    if network.scatter > _SCATTERED:
        return [_out_of_date(layers, network)]
    side = np.sign(network.value - 1)
    if abs(network.value - 1) < _FAR or network.surprise < _ERRORS:
        return []
    others = [pooled(factors(implied, theta)) for theta in _THETAS]
    if any(other is None or np.sign(other.value - 1) != side for other in others):
        return []
    return [_spoilt(layers, network)]


def _spoilt(layers: Sequence[Factor], network: Factor) -> str:
    off = [layer for layer in layers if abs(layer.value - network.value) < abs(layer.value - 1)]
    worst = max(off, key=lambda layer: layer.surprise)
    return (
        f"running statistics look spoilt: the means of {len(off)} of {len(layers)} layers are "
        f"{network.value:.2f} of what the layers before them imply (worst: {worst.where}, "
        f"{worst.value:.2f}): was the model exported or run once in training mode? Export it again "
        "from a clean checkpoint"
    )


def _out_of_date(layers: Sequence[Factor], network: Factor) -> str:
    off = [layer for layer in layers if layer.scatter > _SCATTERED]
    worst = max(off, key=lambda layer: layer.scatter)
    return (
        f"running statistics look out of date: the means of {len(off)} of {len(layers)} layers are "
        f"{network.scatter:.2f} deviations off what the layers before them imply, 0.05 in a "
        f"healthy network (worst: {worst.where}, {worst.scatter:.2f}): were weights changed "
        "without updating them? Run training data through it in training mode, and export it again"
    )


def factors(implied: Sequence[Implied], theta: float = _THETA) -> list[Factor]:
    """Return the factor of each layer whose channels tell one."""
    found = (factor(layer, theta) for layer in implied)
    return [layer for layer in found if layer is not None]


def factor(implied: Implied, theta: float = _THETA) -> Factor | None:
    """Return by what factor a layer's running means differ; None where its channels do not tell."""
    stated, std, terms = implied.stated, implied.std, implied.terms
    if implied.first or len(stated) < _FEWEST_CHANNELS:
        return None
    # In deviations, but no more exact than a tenth of the mean: dead channels have none.
    scale = np.sqrt(std**2 + 0.01 * (terms[:, 0] + terms[:, 1]) ** 2)
    y, x = stated / scale, (terms if implied.depth else terms[:, :1]) / scale[:, None]
    if np.abs(x).max() < _NOTHING:
        return None
    value, error, scatter = _fit(x, y, theta)
    error = float(np.hypot(error, _BETWEEN_LAYERS * max(1, implied.depth)))
    return Factor(value, error, scatter, where(implied.node)) if error < _UNSURE else None


def _fit(x: Array, y: Array, theta: float) -> tuple[float, float, float]:
    """Return s, its error from the residuals, and their spread."""
    size = x.shape[1]
    tied = np.array([[-theta, 1, 0], [-_KAPPA, 0, 1]])
    tied /= np.array([[_THETA_BETWEEN_LAYERS], [_KAPPA_BETWEEN_LAYERS]])
    ties = (tied.T @ tied) if size > 1 else np.zeros((1, 1))
    # Behind linear layers alone the relation is exact, however small the means.
    finest = 3e-3 if size > 1 else 1e-2 * float(np.sqrt(np.mean(x**2)))
    weights, spread = np.ones(len(y)), 0.05
    for _ in range(4):
        weighted = (x * weights[:, None]).T
        normal = weighted @ x + spread**2 * ties
        normal.flat[:: size + 1] += 1e-12 * normal.trace()
        inverse = np.linalg.inv(normal)
        found = inverse @ (weighted @ y)
        off = np.abs(y - x @ found)
        spread = max(1.4826 * float(np.partition(off, len(off) // 2)[len(off) // 2]), finest)
        weights = _huber(off, 2.5 * spread)
    power = max(float(weights @ off**2) / (len(y) - size), spread**2)
    return float(found[0]), float(np.sqrt(inverse[0, 0] * power)), spread


def pooled(layers: Sequence[Factor]) -> Factor | None:
    """Return the factor of a network; None where too few layers tell."""
    if len(layers) < _FEWEST_LAYERS:
        return None
    values = np.array([layer.value for layer in layers])
    errors = np.array([layer.error for layer in layers])
    centre = float(np.median(values))
    for _ in range(20):
        weights = _huber(np.abs(values - centre) / errors, 1.5) / errors**2
        centre = float(weights @ values / weights.sum())
    beyond = np.sqrt(np.mean(((values - centre) / errors) ** 2))
    error = float(max(1.0, beyond) / np.sqrt((1 / errors**2).sum()))
    scatter = float(np.median([layer.scatter for layer in layers]))
    return Factor(centre, error, scatter, max(layers, key=lambda layer: layer.surprise).where)


def _huber(off: Array, limit: float) -> Array:
    return np.minimum(1.0, limit / np.maximum(off, 1e-12))
