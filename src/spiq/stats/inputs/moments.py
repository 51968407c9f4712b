"""Mean and deviation of the network's input, solved from the equations of its first layers.

What BatchNormalization states of the outputs o of a first layer
(:mod:`spiq.stats.inputs.first_layers`) are equations for the input. For a picture, whose channels
are alike, two numbers are looked for,

    E[y_o] = m sums_o + offset_o,    Var[y_o] = s^2 response_o^2.

What is no picture (columns of a table, depth beside colours, bands of a satellite) has channels of
any size, and at least as many outputs tell a mean and a deviation of each, taken as uncorrelated:

    Var[y_o] = sum_c powers_oc s_c^2,    E[y_o] = sum_c by_channel_oc m_c + offset_o.

The first is solved by moving each log v_c by what the equations lack, by the share that c has in
each of them. Few rounds, from channels that all count alike: what the equations hardly tell apart
stays alike. Where they contradict each other (channels that are correlated, after all), deviations
are raised by that. The second is solved by least squares with m_c/s_c drawn to 0.

On seven small networks with true statistics and inputs of 3 to 30 channels, means were off by 0.2
deviations at most, but for one of 0.9; deviations by a factor of 0.5 to 2 where a channel matters.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from spiq.passes.prepare import Prepared
from spiq.stats.channel import Array
from spiq.stats.input_axis import channel_axis
from spiq.stats.inputs.first_layers import FirstLayer, first_layers

_LEAST_TOLD = 1e-4
"""Share of their size that kernels have to keep when summed, to tell the input's mean."""

_MOST = 1e12
"""Deviation that no input has: kernels of next to nothing, and moments that were never theirs."""

_ROUNDS = 10
"""With 40, channels that are correlated were told apart by factors that are not there."""

_OFF = 0.1
"""Deviation of the equations of means, in deviations of the outputs: borders, running means."""

_FAR = 10.0
"""Deviation of m_c/s_c: columns of a table may lie far from 0."""


def moments(
    layers: Sequence[FirstLayer], *, pictures: bool = True
) -> tuple[float | None, float] | None:
    """Return the mean and the deviation of the input that the layers were trained on.

    The mean is None where kernels that sum to 0 (a high-pass stem) say nothing of it; the whole is
    None where nothing states a moment.

    Args:
        layers: The equations.
        pictures: Whether neighbours and colours are correlated as in pictures; if not, neighbours
            as fits all outputs best.
    """
    told = [(layer, layer.stated) for layer in layers if layer.stated is not None]
    if not told:
        return None
    sums, size, offset = (
        np.concatenate([getattr(layer, name) for layer, _ in told])
        for name in ("sums", "sizes", "offset")
    )
    wanted = np.concatenate([stated.mean for _, stated in told]) - offset
    var = np.concatenate([stated.var for _, stated in told])
    power = _fitting([layer for layer, _ in told], var, pictures=pictures) ** 2
    live = (power > 1e-12 * power.max()) & np.isfinite(wanted + var)
    if not live.any() or not (var[live] > 0).any():
        return None
    std = float(np.sqrt(np.median(var[live] / power[live])))
    if not 0 < std < _MOST:
        return None
    trust = 1 / (power[live] * std**2)
    weight = float((trust * sums[live] ** 2).sum())
    if weight < _LEAST_TOLD * float((trust * size[live] ** 2).sum()):
        return None, std
    return float((trust * sums[live] * wanted[live]).sum() / weight), std


def infer_moments(value: ir.Value, prepared: Prepared) -> tuple[float, float] | None:
    """Return the mean and deviation of a picture input that its first layers were trained on.

    None where nothing in reach states moments, or where kernels that sum to 0 (a high-pass stem)
    say nothing of the mean.

    Args:
        value: The input.
        prepared: The network.
    """
    mean, std = moments(first_layers(value, prepared, channel_axis(value))) or (None, 0.0)
    return None if mean is None else (mean, std)


def _fitting(layers: Sequence[FirstLayer], var: Array, *, pictures: bool) -> Array:
    """Return the response of each output, by the correlation that explains variances best."""
    if pictures:
        return np.concatenate([layer.response for layer in layers])
    each = np.concatenate([layer.powers.sum(axis=2) for layer in layers], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(var / each)
    scatter = [np.std(row[np.isfinite(row)]) if np.isfinite(row).any() else np.inf for row in ratio]
    return np.asarray(np.sqrt(each[int(np.argmin(scatter))]))


def channel_moments(layers: Sequence[FirstLayer], channels: int) -> tuple[Array, Array] | None:
    """Return mean and deviation of each channel of an input that is no picture.

    Args:
        layers: The equations.
        channels: How many there are; equations may have those of other inputs behind them.

    Returns:
        Arrays of shape (C,); None where the equations do not tell channels apart.
    """
    told = [layer for layer in layers if layer.stated and layer.by_channel.shape[1] >= channels]
    columns = max((layer.by_channel.shape[1] for layer in told), default=0)
    if columns < 2:
        return None
    var = np.concatenate([layer.stated.var for layer in told if layer.stated])
    wanted = np.concatenate([layer.stated.mean - layer.offset for layer in told if layer.stated])
    sums = np.concatenate([layer.by_channel for layer in told])
    powers = np.concatenate([layer.powers for layer in told], axis=1)
    live = (var > 0) & np.isfinite(var + wanted) & powers.any(axis=(0, 2))
    if live.sum() < columns or not powers[0, live].any(axis=0).all():
        return None  # not as many equations as unknowns

    std = np.sqrt(_variances(powers[:, live] / var[live, None]))
    scaled = sums[live] * std / (_OFF * np.sqrt(var[live, None]))
    target = np.concatenate([wanted[live] / (_OFF * np.sqrt(var[live])), np.zeros(columns)])
    equations = np.concatenate([scaled, np.eye(columns) / _FAR])
    mean = std * np.linalg.lstsq(equations, target, rcond=None)[0]
    if not (std < _MOST).all():
        return None
    return mean[:channels], std[:channels]


def _variances(powers: Array) -> Array:
    """Return the variances for which P v is nearest to 1 in all equations.

    Args:
        powers: P for each correlation of neighbours, shape (correlations, O, C).
    """
    found = [_solved(each) for each in powers]
    off = [np.log(each @ v) for each, v in zip(powers, found, strict=True)]
    best = int(np.argmin([each.std() for each in off]))
    doubt = float(off[best].std() - np.median(off[best]))
    return np.asarray(found[best] * np.exp(doubt))


def _solved(powers: Array) -> Array:
    v: Array = 1 / (powers.mean(axis=0) * powers.shape[1])
    for _ in range(_ROUNDS):
        parts = powers * v
        shares = parts / parts.sum(axis=1, keepdims=True)
        wanted = (shares * -np.log(parts.sum(axis=1, keepdims=True))).sum(axis=0)
        v = v * np.exp(wanted / (shares.sum(axis=0) + 1))
    return v
