"""What the network's input looks like: from the options, or from the network itself.

Where the user says nothing, the first layers tell. A convolution that reads the input and whose
output a BatchNormalization describes by N(beta, v) states linear equations on the input's mean m,

    sum_c m_c sum_k W[o,c,k] = beta_o - b_o,

and, with the second-order statistics of natural images (neighbouring pixels are correlated by
about 0.95, colours by about 0.9), its scale: v_o = s^2 w_o^T R w_o. The usual preprocessing that
comes nearest to m and s is assumed, and said.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.config import Config
from spiq.errors import ConfigError
from spiq.graph.query import dims, ints, is_constant, is_float32
from spiq.passes.batchnorm import weight_and_bias
from spiq.passes.prepare import Prepared
from spiq.stats.channel import Array, ChannelStats, stats

_PIXEL_MEAN, _PIXEL_STD = 0.45, 0.27
"""Mean and deviation of the pixels of natural images, of values from 0 to 1."""

_NEIGHBOURS, _COLOURS = 0.95, 0.9
_LEAST_TOLD = 1e-4
"""Share of their size that kernels have to keep when summed, to tell the input's mean."""


@dataclass(frozen=True)
class Convention:
    """A usual way to hand pixels to a network."""

    name: str
    low: float
    high: float

    @property
    def mean(self) -> float:
        """Expected mean of a natural image."""
        return self.low + _PIXEL_MEAN * (self.high - self.low)

    @property
    def std(self) -> float:
        """Expected deviation of a natural image."""
        return _PIXEL_STD * (self.high - self.low)


CONVENTIONS = (
    Convention("pixels from 0 to 1", 0.0, 1.0),
    Convention("pixels from -1 to 1", -1.0, 1.0),
    Convention("pixels from 0 to 255", 0.0, 255.0),
    Convention("pixels from -128 to 127", -128.0, 127.0),
    Convention("pixels normalized by ImageNet's mean and std", -2.118, 2.640),
)


Ends = tuple[tuple[float, ...], tuple[float, ...]]
"""Low and high end of an input, one number per channel or one for all."""


def input_stats(
    prepared: Prepared, config: Config, known_ends: Mapping[str, Ends] | None = None
) -> tuple[dict[str, ChannelStats], list[str]]:
    """Return the statistics of each float input, and what was assumed for it.

    Args:
        prepared: The network.
        config: The options.
        known_ends: Ranges of inputs that are already decided, by name.

    Raises:
        ConfigError: The options name another number of channels than the input has.
    """
    known: dict[str, ChannelStats] = {}
    notes: list[str] = []
    for value in prepared.model.graph.inputs:
        shape = dims(value)
        if not is_float32(value) or shape is None or len(shape) < 2:
            continue
        axis = _channel_axis(value)
        channels = shape[axis] or 1
        layout = tuple(channels if index == axis else 1 for index in range(len(shape)))
        planned = (known_ends or {}).get(str(value.name))
        if planned is not None:
            low, high = (np.array(end) for end in planned)
            _check("the plan's range", low, channels, value)
            note = f"input '{value.name}': range {_span(low, high)}, as planned"
        else:
            low, high, note = _range(value, prepared, config, channels)
        arrays = [np.broadcast_to(end, channels).reshape(layout) for end in (low, high)]
        span = arrays[1] - arrays[0]
        mean, std = arrays[0] + _PIXEL_MEAN * span, _PIXEL_STD * span
        known[str(value.name)] = stats(mean, std**2, arrays[0], arrays[1], "input")
        notes.append(note)
    return known, notes


def _channel_axis(value: ir.Value) -> int:
    """Return 1, or the axis that becomes 1 where all that reads the input transposes it first."""
    readers = value.consumers()
    axes = {ints(n, "perm", [0, 1])[1] if n.op_type == "Transpose" else 1 for n in readers}
    return axes.pop() if len(axes) == 1 else 1


def _range(
    value: ir.Value, prepared: Prepared, config: Config, channels: int
) -> tuple[Array, Array, str]:
    if config.input_range is not None:
        low, high = np.array(config.input_range, float).T
        _check("input_range", low, channels, value)
        return low, high, f"input '{value.name}': range {_span(low, high)}, as given"
    if config.input_mean is not None and config.input_std is not None:
        mean, std = np.array(config.input_mean, float), np.array(config.input_std, float)
        _check("input_mean", mean, channels, value)
        _check("input_std", std, channels, value)
        top = 1.0 if std.max() <= 1 and mean.max() <= 1 and std.min() < 1 else 255.0
        low, high = (0 - mean) / std, (top - mean) / std
        note = f"range {_span(low, high)}, from the mean and std given, pixels 0..{top:g}"
        return low, high, f"input '{value.name}': {note}"
    return _inferred(value, prepared)


def _check(option: str, array: Array, channels: int, value: ir.Value) -> None:
    if len(array) not in (1, channels):
        raise ConfigError(
            f"{option} has {len(array)} entries, but input '{value.name}' has {channels} channels: "
            f"give 1 or {channels}"
        )


def _span(low: Array, high: Array) -> str:
    return f"{low.min():.4g} to {high.max():.4g}"


def _inferred(value: ir.Value, prepared: Prepared) -> tuple[Array, Array, str]:
    hint = "give --input-range or --input-mean and --input-std if that is wrong"
    found = infer_moments(value, prepared)
    if found is None:
        assumed = CONVENTIONS[-1]
        note = f"input '{value.name}': assumed {assumed.name}; {hint}"
        return np.array([assumed.low]), np.array([assumed.high]), note
    mean, std = found
    nearest = min(CONVENTIONS, key=lambda c: distance(c, mean, std))
    if distance(nearest, mean, std) < 1:
        note = (
            f"input '{value.name}': assumed {nearest.name}, since its first layers were trained on "
            f"mean {mean:.3g} and std {std:.3g}; {hint}"
        )
        return np.array([nearest.low]), np.array([nearest.high]), note
    low, high = mean - 2.5 * std, mean + 3 * std
    note = (
        f"input '{value.name}': range {low:.3g} to {high:.3g} assumed, from the mean {mean:.3g} "
        f"and std {std:.3g} that its first layers were trained on; {hint}"
    )
    return np.array([low]), np.array([high]), note


def distance(convention: Convention, mean: float, std: float) -> float:
    """Return how far moments are from a convention; under 1 is near."""
    return float(
        np.hypot(
            np.log(std / convention.std) / np.log(2), (mean - convention.mean) / convention.std
        )
    )


def infer_moments(value: ir.Value, prepared: Prepared) -> tuple[float, float] | None:
    """Return the mean and deviation of an image input that its first layers were trained on.

    None where no convolution with stated moments reads it, or where kernels that sum to 0 (a
    high-pass stem) say nothing of the mean.
    """
    rows, sizes, targets, powers, variances = [], [], [], [], []
    direct = value.consumers()
    turned = [r for n in direct if n.op_type == "Transpose" for r in n.outputs[0].consumers()]
    for node in [*direct, *turned]:
        stated = prepared.stated.get(node.outputs[0].name or "")
        if node.op_type != "Conv" or stated is None or not is_constant(node.inputs[1]):
            continue
        weight, bias = weight_and_bias(node)
        if node.attributes.get_int("group", 1) != 1 or weight.ndim != 4:
            continue
        exact = weight.astype(np.float64)
        rows.append(exact.sum(axis=(1, 2, 3)))
        sizes.append(np.abs(exact).sum(axis=(1, 2, 3)))
        targets.append(stated.mean - bias)
        powers.append(_response(exact))
        variances.append(stated.var)
    if not rows:
        return None
    sums, size, wanted, power, var = (
        np.concatenate(part) for part in (rows, sizes, targets, powers, variances)
    )
    live = power > 1e-12 * power.max()
    if not live.any() or not (var[live] > 0).any():
        return None
    std = float(np.sqrt(np.median(var[live] / power[live])))
    if not std > 0:
        return None
    trust = 1 / (power[live] * std**2)
    told = float((trust * sums[live] ** 2).sum())
    if told < _LEAST_TOLD * float((trust * size[live] ** 2).sum()):
        return None
    return float((trust * sums[live] * wanted[live]).sum() / told), std


def _response(weight: Array) -> Array:
    """Return w^T R w of each kernel, for natural images of variance 1."""
    _, colours, height, width = weight.shape
    colour = np.full((colours, colours), _COLOURS) + (1 - _COLOURS) * np.eye(colours)
    down, across = (
        _NEIGHBOURS ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        for n in (height, width)
    )
    spread = np.einsum("ocij,cd,ik,jl->odkl", weight, colour, down, across, optimize=True)
    response: Array = (spread * weight).sum(axis=(1, 2, 3))
    return response
