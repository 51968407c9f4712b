"""What the network's input looks like: from the options, or from the network itself.

Where the user says nothing, the file tells: what its first layers state of the input, and what
their biases say beside their weights (:mod:`spiq.stats.first_layers`), makes each usual
preprocessing more or less likely (:mod:`spiq.stats.evidence`). The likeliest is assumed, and the
odds are said; where others are not out of the question, as a warning. An input of bytes needs no
evidence. One that is no picture, by its shape, has the moments that the first layers state, and no
convention.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from spiq.config import Config
from spiq.errors import WARNING, ConfigError
from spiq.graph.extents import has_space, is_one_picture
from spiq.graph.indices import pixel_ends
from spiq.graph.neighbours import adjacencies
from spiq.graph.query import dims, holds_floats
from spiq.passes.prepare import Prepared
from spiq.stats.alike import together
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.conventions import PIXEL_MEAN, PIXEL_STD
from spiq.stats.evidence import BARE, Verdict, weigh
from spiq.stats.first_layers import FirstLayer, first_layers
from spiq.stats.folded_input import BARE_TABLE, folded_input, with_biases
from spiq.stats.fourth_channel import CHANNELS, fourth_of, spans, with_fourth
from spiq.stats.given_input import Told, check_channels, given_range, pixel_stats
from spiq.stats.input_axis import channel_axis, channel_count
from spiq.stats.input_moments import channel_moments, moments
from spiq.stats.input_notes import (
    HINT,
    by_biases,
    nothing_tells,
    of_fourth,
    of_graph,
    said_of,
    span,
    trained_on,
)
from spiq.stats.lost_norms import has_norms

_COLOURS = (1, 3, 4, None)
"""Numbers of channels that pictures have; None where it is dynamic."""

_REACH = 6.0
"""Ends of what is no picture, in deviations from its mean: 8 bits are enough for that."""

Ends = tuple[tuple[float, ...], tuple[float, ...]]
"""Low and high end of an input, one number per channel or one for all."""


def judge(prepared: Prepared) -> dict[str, Verdict]:
    """Return what the file says of each input that takes pictures as floats, by name.

    Args:
        prepared: The network.
    """
    origin, verdicts = _origin(prepared.model), dict[str, Verdict]()
    bare = 0.0 if has_norms(prepared.model.graph) else BARE
    for value in prepared.model.graph.inputs:
        if holds_floats(value) and _has_colours(value):
            layers = first_layers(value, prepared, channel_axis(value))
            verdict = with_fourth(weigh(layers, origin, bare), layers)
            verdicts[str(value.name)] = with_biases(verdict, layers)
    return together(prepared.model.graph, verdicts)


def _origin(model: ir.Model) -> str:
    """Return what the file says of where it comes from."""
    said = (model.producer_name, model.doc_string, model.graph.name, model.graph.doc_string)
    return " ".join([*map(str, said), *map(str, model.metadata_props.values())]).lower()


def _has_colours(value: ir.Value) -> bool:
    """Return whether an input may hold pixels: bands and spectrograms have space, no colours."""
    shape = dims(value) or []
    if not has_space(shape):
        return False
    return is_one_picture(shape) or shape[channel_axis(value)] in _COLOURS


def input_stats(
    prepared: Prepared,
    config: Config,
    known_ends: Mapping[str, Ends] | None = None,
    verdicts: Mapping[str, Verdict] | None = None,
    shown: Mapping[str, Told] | None = None,
) -> tuple[dict[str, ChannelStats], list[str]]:
    """Return the statistics of each input, and what was assumed for it.

    Args:
        prepared: The network.
        config: The options.
        known_ends: Ranges of inputs that are already decided, by name.
        verdicts: What is known of picture inputs' conventions, by name; of :func:`judge` by
            default.
        shown: What images say of inputs, by name.

    Raises:
        ConfigError: The options name another number of channels than the input has, or an input
            that there is not.
    """
    there = [str(value.name) for value in prepared.model.graph.inputs]
    if unknown := [name for name in config.inputs if name not in there]:
        raise ConfigError(
            f"there is no input {unknown[0]!r}: the network has {', '.join(map(repr, there))}"
        )
    judged = judge(prepared) if verdicts is None else verdicts
    graphs = adjacencies(prepared.model.graph)
    known: dict[str, ChannelStats] = {}
    notes: list[str] = []
    for value in prepared.model.graph.inputs:
        shape, name = dims(value), str(value.name)
        if shape is None or len(shape) < 2:
            continue
        if (pixels := pixel_ends(value)) is not None:
            low, high = (np.full((1,) * len(shape), end) for end in pixels)
            known[name] = pixel_stats(low, high)
            kind = "bytes" if value.dtype == ir.DataType.UINT8 else "integers in colour"
            notes.append(f"input '{name}': range {span(low, high)}, since it holds {kind}")
        if not holds_floats(value):
            continue
        channels = channel_count(value)
        told = (shown or {}).get(name) or given_range(value, config, channels)
        told = told or _inferred(value, prepared, judged.get(name))
        if (planned := (known_ends or {}).get(name)) is not None:
            told = _planned(planned, told, judged.get(name)), "as planned"
            check_channels("the plan's range", told[0].low, channels, value)
        if told is None:
            notes += [of_graph(name)] if name in graphs else []
            continue
        found, note = told
        known[name] = _laid_out(found, value, channels)
        doubtful = note.startswith(WARNING)
        notes.append(f"{WARNING * doubtful}input '{name}': {note.removeprefix(WARNING)}")
    return known, notes


def shown_ends(
    prepared: Prepared,
    known: Mapping[str, ChannelStats],
    verdicts: Mapping[str, Verdict] | None = None,
) -> dict[str, tuple[Array, Array]]:
    """Return the range that each input is shown, by name.

    Pictures fill theirs. What is no picture has a wide one, of which it is shown as much as
    pictures of its mean and deviation would fill; so have pictures that fit no convention.
    """
    odd = {name for name, verdict in (verdicts or {}).items() if verdict.outlandish}
    ends = {name: (one.low, one.high) for name, one in known.items()}
    for value in prepared.model.graph.inputs:
        one = known.get(str(value.name))
        if one is None or not holds_floats(value):
            continue
        if value.name in odd or not _has_colours(value):
            width = np.sqrt(one.var) / PIXEL_STD
            low = one.mean - PIXEL_MEAN * width
            ends[str(value.name)] = low, low + width
    for name, (mean, std) in adjacencies(prepared.model.graph).items():
        if name not in known:
            low = np.array(mean - PIXEL_MEAN * std / PIXEL_STD)
            ends[name] = low, low + std / PIXEL_STD
    return ends


def _laid_out(known: ChannelStats, value: ir.Value, channels: int) -> ChannelStats:
    """Give statistics, one number per channel or one for all, the layout of an input."""
    shape, axis = dims(value) or [], channel_axis(value)
    layout = tuple(channels if index == axis else 1 for index in range(len(shape)))
    mean, var, low, high = (
        np.broadcast_to(array, channels).reshape(layout)
        for array in (known.mean, known.var, known.low, known.high)
    )
    return stats(mean, var, low, high, known.source)


def _planned(planned: Ends, told: Told | None, verdict: Verdict | None) -> ChannelStats:
    """Return the statistics that a planned range came from: what is told, or else pictures'."""
    low, high = (np.array(end) for end in planned)
    if told is not None:
        taken = _wide(told[0], verdict)
        both = (taken.low, low), (taken.high, high)  # a plan says once what channels share
        if all((one == other).all() for one, other in both):
            return told[0]
    return pixel_stats(low, high)


def _wide(known: ChannelStats, verdict: Verdict | None) -> ChannelStats:
    if verdict is None or verdict.outlandish:
        return known
    low, high = verdict.ends
    return replace(known, low=np.minimum(known.low, low), high=np.maximum(known.high, high))


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
    planned = {name: ends for name, ends in (known_ends or {}).items() if name in known}
    wide = {name: _wide(found, verdicts.get(name)) for name, found in known.items()}
    for name, ends in planned.items():
        axis = max(range(wide[name].low.ndim), key=wide[name].low.shape.__getitem__)
        layout = tuple(-1 if index == axis else 1 for index in range(wide[name].low.ndim))
        low, high = (
            np.broadcast_to(np.array(end).reshape(layout), wide[name].low.shape) for end in ends
        )
        wide[name] = replace(wide[name], low=low, high=high)
    return wide


def _inferred(value: ir.Value, prepared: Prepared, verdict: Verdict | None) -> Told | None:
    if verdict is None:
        return _of_features(value, prepared)
    mean, std = verdict.stated or (None, None)
    if verdict.outlandish and mean is not None and std is not None:
        colours = (dims(value) or [])[channel_axis(value)] in (1, 3, None)  # which are alike
        layers = [] if colours else first_layers(value, prepared, channel_axis(value))
        each = _each(value, layers)
        means, stds = each or (np.array([mean]), np.array([std]))
        wide = stds * np.exp(verdict.spread)
        low, high = means - 2.5 * wide, means + 3 * wide
        said = f"{trained_on(low, high, mean, std)}; {HINT} if that is wrong"
        if verdict.spread:
            said = by_biases(low, high, verdict.spread)
        return stats(means, stds**2, low, high, "input"), said
    said = " ".join(said_of(verdict))
    if mean is None and (dims(value) or [])[channel_axis(value)] == CHANNELS:
        last = of_fourth(fourth_of(verdict, verdict.order[0]))
        said = f"{WARNING}{said.removeprefix(WARNING)}; {last}"
    return pixel_stats(*spans(verdict, verdict.order[0])), said


def _each(value: ir.Value, layers: Sequence[FirstLayer]) -> tuple[Array, Array] | None:
    """Return mean and deviation of each channel of an input that is no picture, if they tell."""
    return channel_moments(layers, channel_count(value))


def _of_features(value: ir.Value, prepared: Prepared) -> Told | None:
    """Return what is known of an input that is no picture; None of one that no layer reads."""
    layers = first_layers(value, prepared, channel_axis(value))
    mean, std = moments(layers, pictures=False) or (None, 0.0)
    if mean is not None:
        means, stds = _each(value, layers) or (np.array([mean]), np.array([std]))
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
    known = _around(found.mean, found.std)
    if found.is_sure(BARE if pictures else BARE_TABLE):
        return known, by_biases(known.low, known.high, found.spread)
    low, high = np.minimum(known.low, plain.low), np.maximum(known.high, plain.high)
    wide = replace(known if found.std > 1 else plain, low=low, high=high)
    return wide, nothing_tells(low, high)


def _around(mean: float, std: float) -> ChannelStats:
    low, high = mean - _REACH * std, mean + _REACH * std
    return stats(np.array([mean]), std**2, low, high, "input")


def infer_moments(value: ir.Value, prepared: Prepared) -> tuple[float, float] | None:
    """Return the mean and deviation of a picture input that its first layers were trained on.

    None where nothing in reach states moments, or where kernels that sum to 0 (a high-pass stem)
    say nothing of the mean.
    """
    mean, std = moments(first_layers(value, prepared, channel_axis(value))) or (None, 0.0)
    return None if mean is None else (mean, std)
