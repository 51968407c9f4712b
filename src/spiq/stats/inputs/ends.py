"""Ranges of inputs: those that they are shown, and those of their grids, which may be wider."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from spiq.config import Config
from spiq.graph.neighbours import adjacencies
from spiq.graph.query import dims, holds_floats
from spiq.passes.prepare import Prepared
from spiq.stats.channel import Array, ChannelStats
from spiq.stats.inputs.conventions import PIXEL_MEAN, PIXEL_STD
from spiq.stats.inputs.evidence import Verdict
from spiq.stats.inputs.fourth_channel import CHANNELS, fourth_of
from spiq.stats.inputs.judge import has_colours

Ends = tuple[tuple[float, ...], tuple[float, ...]]
"""Low and high end of an input, one number per channel or one for all."""

_SINGLE = 0.5, 1.5
"""Ends of a single number of which nothing is said (a threshold, a frequency, a temperature): what
divides by it or takes its logarithm is finite."""


def shown_ends(
    prepared: Prepared,
    known: Mapping[str, ChannelStats],
    verdicts: Mapping[str, Verdict] | None = None,
) -> dict[str, tuple[Array, Array]]:
    """Return the range that each input is shown, by name: arrays in the input's layout.

    Pictures fill theirs. What is no picture has a wide one, of which it is shown as much as
    pictures of its mean and deviation would fill; so have pictures that fit no convention.

    Args:
        prepared: The network.
        known: Statistics of the inputs, by name.
        verdicts: The verdicts that they follow from.
    """
    odd = {name for name, verdict in (verdicts or {}).items() if verdict.outlandish}
    ends = {name: (one.low, one.high) for name, one in known.items()}
    for value in prepared.model.graph.inputs:
        one = known.get(str(value.name))
        if one is None or not holds_floats(value):
            continue
        if value.name in odd or not has_colours(value):
            ends[str(value.name)] = _filled_by_pictures(one.mean, np.sqrt(one.var))
    for name, (mean, std) in adjacencies(prepared.model.graph).items():
        if name not in known:
            ends[name] = _filled_by_pictures(np.array(mean), np.array(std))
    return ends


def _filled_by_pictures(mean: Array, std: Array) -> tuple[Array, Array]:
    """Return the ends between which pictures have a mean and a deviation."""
    width = std / PIXEL_STD
    low = mean - PIXEL_MEAN * width
    return low, low + width


def for_rivals(known: ChannelStats, verdict: Verdict | None) -> ChannelStats:
    """Return the statistics of an input with a range that holds for rival conventions, too."""
    if verdict is None or verdict.outlandish:
        return known
    ends = verdict.ends
    low, high = np.minimum(known.low, ends[0]), np.maximum(known.high, ends[1])
    if fourth_of(verdict, verdict.order[0]) is not None:  # which conventions say nothing of
        colours = np.arange(known.low.size).reshape(known.low.shape) < CHANNELS - 1
        low, high = np.where(colours, low, known.low), np.where(colours, high, known.high)
    return replace(known, low=low, high=high)


def widened(
    known: Mapping[str, ChannelStats],
    verdicts: Mapping[str, Verdict],
    known_ends: Mapping[str, Ends] | None = None,
) -> dict[str, ChannelStats]:
    """Return the statistics with ranges that hold for rival conventions, too, or are planned.

    Args:
        known: Statistics of the inputs, by name.
        verdicts: The verdicts that they follow from.
        known_ends: Ranges of inputs that are already decided, by name.
    """
    wide = {name: for_rivals(found, verdicts.get(name)) for name, found in known.items()}
    planned = {name: ends for name, ends in (known_ends or {}).items() if name in known}
    return wide | {name: _between(wide[name], ends) for name, ends in planned.items()}


def beyond(
    shown: Mapping[str, tuple[Array, Array]],
    wide: Mapping[str, ChannelStats],
    verdicts: Mapping[str, Verdict],
) -> dict[str, tuple[Array, Array]]:
    """Return the ends of inputs whose range holds more than they are shown, for rivals, by name.

    Args:
        shown: The range that each input is shown.
        wide: Statistics of the inputs, with ranges that hold for rival conventions, too.
        verdicts: The verdicts that both follow from.
    """
    return {
        name: (wide[name].low, wide[name].high)
        for name, verdict in verdicts.items()
        if name in wide
        and name in shown
        and not verdict.outlandish
        and ((wide[name].low < shown[name][0]).any() or (wide[name].high > shown[name][1]).any())
    }


def _between(known: ChannelStats, ends: Ends) -> ChannelStats:
    """Return the statistics of an input with another range, laid along its longest axis."""
    shape = known.low.shape
    axis = max(range(len(shape)), key=shape.__getitem__)
    layout = tuple(-1 if index == axis else 1 for index in range(len(shape)))
    low, high = (np.broadcast_to(np.array(end).reshape(layout), shape) for end in ends)
    return replace(known, low=low, high=high)


def single_ends(graph: ir.Graph, config: Config) -> dict[str, tuple[Array, Array]]:
    """Return the ends of inputs of fewer than two axes, by name: those given, or of one number.

    Args:
        graph: The network.
        config: The options, of which those that name an input count.
    """
    found: dict[str, tuple[Array, Array]] = {}
    for value in graph.inputs:
        name, shape = str(value.name), dims(value)
        if shape is None or len(shape) > 1 or not holds_floats(value):
            continue
        given = config.inputs[name].input_range if name in config.inputs else None
        if given is not None:
            low, high = np.array(given, float).T
            found[name] = low.min(), high.max()
        elif shape in ([], [1]):
            found[name] = np.array(_SINGLE[0]), np.array(_SINGLE[1])
    return found
