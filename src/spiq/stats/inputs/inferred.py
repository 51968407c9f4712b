"""What the network itself says of an input, where no option does.

The likeliest convention is assumed, and the odds are said; where others are not out of the
question, as a warning. An input that is no picture, by its shape, has the moments that the first
layers state, and no convention; else what biases say of it; else numbers around 0.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import log

import numpy as np
import onnx_ir as ir

from spiq.errors import WARNING
from spiq.graph.query import dims
from spiq.passes.prepare import Prepared
from spiq.stats.channel import ChannelStats, stats
from spiq.stats.input_axis import channel_axis, channel_count
from spiq.stats.inputs.evidence import BARE, Verdict
from spiq.stats.inputs.first_layers import FirstLayer, first_layers
from spiq.stats.inputs.folded import BARE_TABLE, folded_input
from spiq.stats.inputs.fourth_channel import CHANNELS, fourth_of, spans
from spiq.stats.inputs.given import Told, pixel_stats
from spiq.stats.inputs.moments import channel_moments, moments
from spiq.stats.inputs.notes import (
    HINT,
    by_biases,
    nothing_tells,
    of_fourth,
    said_of,
    trained_on,
)

_ALIKE = (1, 3, None)
"""Numbers of channels that are colours, which are alike."""

_REACH = 6.0
"""Ends of what is no picture, in deviations from its mean: 8 bits are enough for that."""

_STANDARD = 3.0
"""Spreads around what biases say within which the deviation of what is no picture may be 1, as most
are made: spectrograms of brain waves were found at 0.3 (1.9 spreads). A judgement."""

_DARKEST, _BRIGHTEST = 2.5, 3.0
"""Ends of pictures of no convention, in deviations from their mean."""


def inferred(value: ir.Value, prepared: Prepared, verdict: Verdict | None) -> Told | None:
    """Return what is known of an input of floats, and by what; None of one that no layer reads.

    Args:
        value: The input.
        prepared: The network.
        verdict: What conventions have for themselves, if it takes pictures.
    """
    if verdict is None:
        return _of_features(value, prepared)
    return _of_moments(value, prepared, verdict) or _of_convention(value, verdict)


def _of_moments(value: ir.Value, prepared: Prepared, verdict: Verdict) -> Told | None:
    """Return what the first layers say of pictures that fit no convention; None where one fits."""
    mean, std = verdict.stated or (None, 0.0)
    if mean is None or not verdict.outlandish:
        return None
    is_alike = (dims(value) or [])[channel_axis(value)] in _ALIKE
    layers = [] if is_alike else first_layers(value, prepared, channel_axis(value))
    each = channel_moments(layers, channel_count(value))
    means, stds = each or (np.array([mean]), np.array([std]))
    wide = stds * np.exp(verdict.spread)
    low, high = means - _DARKEST * wide, means + _BRIGHTEST * wide
    said = f"{trained_on(low, high, mean, std)}; {HINT} if that is wrong"
    if verdict.spread:
        said = by_biases(low, high, verdict.spread)
    return stats(means, stds**2, low, high, "input"), said


def _of_convention(value: ir.Value, verdict: Verdict) -> Told:
    """Return what pictures of the likeliest convention are."""
    said = " ".join(said_of(verdict))
    is_stated = verdict.stated is not None and verdict.stated[0] is not None
    fourth = fourth_of(verdict, verdict.order[0])
    if is_stated and fourth is not None:
        said = f"{said}; {of_fourth(fourth)}"
    elif not is_stated and (dims(value) or [])[channel_axis(value)] == CHANNELS:
        said = f"{WARNING}{said.removeprefix(WARNING)}; {of_fourth(fourth)}"
    return pixel_stats(*spans(verdict, verdict.order[0])), said


def _of_features(value: ir.Value, prepared: Prepared) -> Told | None:
    """Return what is known of an input that is no picture; None of one that no layer reads."""
    layers = first_layers(value, prepared, channel_axis(value))
    mean, std = moments(layers, pictures=False) or (None, 0.0)
    if mean is not None:
        each = channel_moments(layers, channel_count(value))
        means, stds = each or (np.array([mean]), np.array([std]))
        low, high = means - _REACH * stds, means + _REACH * stds
        said = f"{trained_on(low, high, mean, std)}; give --input-range if that is wrong"
        return stats(means, stds**2, low, high, "input"), said
    signals = len(dims(value) or []) > 2 or channel_axis(value) == 0
    return _of_biases(layers, pictures=signals) if layers else None


def _of_biases(layers: Sequence[FirstLayer], *, pictures: bool) -> Told:
    """Return what biases say of what is no picture; what they cannot say, of numbers around 0."""
    found = folded_input(layers, pictures=pictures)
    plain = _around(0.0, 1.0)
    if found is None:
        return plain, nothing_tells(plain.low, plain.high)
    known, sure = _around(found.mean, found.std), found.is_sure(BARE if pictures else BARE_TABLE)
    if sure and abs(log(found.std)) > _STANDARD * found.spread:
        return known, by_biases(known.low, known.high, found.spread)
    low, high = np.minimum(known.low, plain.low), np.maximum(known.high, plain.high)
    wide = replace(known if found.std > 1 else plain, low=low, high=high)
    return wide, by_biases(low, high, found.spread) if sure else nothing_tells(low, high)


def _around(mean: float, std: float) -> ChannelStats:
    low, high = mean - _REACH * std, mean + _REACH * std
    return stats(np.array([mean]), std**2, low, high, "input")
