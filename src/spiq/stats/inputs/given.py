"""What the options say of an input: its range, or the mean and deviation it is normalized with."""

import numpy as np
import onnx_ir as ir

from spiq.config import Config
from spiq.errors import ConfigError
from spiq.graph.query import dims
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.input_axis import channel_axis
from spiq.stats.inputs.conventions import PIXEL_MEAN, PIXEL_STD
from spiq.stats.inputs.notes import span

Told = tuple[ChannelStats, str]
"""What is known of an input, one number per channel or one for all, and where it comes from."""


def given_range(value: ir.Value, config: Config, channels: int) -> Told | None:
    """Return what the options say of an input, and how they say it; None where they do not.

    Args:
        value: The input.
        config: The options.
        channels: How many channels it has.

    Raises:
        ConfigError: They say it of another number of channels.
    """
    said = config.values_of(str(value.name))
    if said.input_range is not None:
        low, high = np.array(said.input_range, float).T
        check_channels("input_range", low, channels, value)
        return pixel_stats(low, high), f"range {span(low, high)}, as given"
    if said.input_mean is None or said.input_std is None:
        return None
    mean, std = np.array(said.input_mean, float), np.array(said.input_std, float)
    check_channels("input_mean", mean, channels, value)
    check_channels("input_std", std, channels, value)
    top = 1.0 if std.max() <= 1 and mean.max() <= 1 and std.min() < 1 else 255.0
    low, high = (0 - mean) / std, (top - mean) / std
    note = f"range {span(low, high)}, from the mean and std given, pixels 0..{top:g}"
    return pixel_stats(low, high), note


def check_channels(option: str, array: Array, channels: int, value: ir.Value) -> None:
    """Raise a ``ConfigError`` unless an array has one number, or one per channel.

    Args:
        option: What messages call the array.
        array: Shape (C,) or (1,).
        channels: How many channels the input has.
        value: The input.

    Raises:
        ConfigError: It has another length.
    """
    if len(array) not in (1, channels):
        raise ConfigError(
            f"{option} has {len(array)} entries, but input '{value.name}' has {channels} channels: "
            f"give 1 or {channels}"
        )


def pixel_stats(low: Array, high: Array) -> ChannelStats:
    """Return the statistics of pictures whose darkest and brightest pixel are these."""
    return stats(
        low + PIXEL_MEAN * (high - low), (PIXEL_STD * (high - low)) ** 2, low, high, "input"
    )


def laid_out(known: ChannelStats, value: ir.Value, channels: int) -> ChannelStats:
    """Give statistics, one number per channel or one for all, the layout of an input."""
    shape, axis = dims(value) or [], channel_axis(value)
    layout = tuple(channels if index == axis else 1 for index in range(len(shape)))
    mean, var, low, high = (
        np.broadcast_to(array, channels).reshape(layout)
        for array in (known.mean, known.var, known.low, known.high)
    )
    return stats(mean, var, low, high, known.source)
