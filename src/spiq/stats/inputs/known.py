"""The statistics of every input: from the options, the plan, images, or the network itself.

Of integers, see :mod:`spiq.stats.inputs.integers`. Of floats, in this order: what images or options
say (:mod:`spiq.stats.inputs.given`), or else what the network lets infer
(:mod:`spiq.stats.inputs.inferred`). A range that a plan has decided holds in any case.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from spiq.config import Config
from spiq.errors import ConfigError
from spiq.graph.neighbours import adjacencies
from spiq.graph.query import dims, holds_floats
from spiq.passes.prepare import Prepared
from spiq.stats.channel import ChannelStats
from spiq.stats.input_axis import channel_count
from spiq.stats.inputs.ends import Ends, for_rivals
from spiq.stats.inputs.evidence import Verdict
from spiq.stats.inputs.given import Told, check_channels, given_range, laid_out, pixel_stats
from spiq.stats.inputs.inferred import inferred
from spiq.stats.inputs.integers import of_integers
from spiq.stats.inputs.joined import before_layers
from spiq.stats.inputs.judge import judge
from spiq.stats.inputs.notes import about, of_graph, of_unread


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
    graph = prepared.model.graph
    _check_names(graph, config)
    judged = judge(prepared) if verdicts is None else verdicts
    on_the_left = adjacencies(graph)
    known: dict[str, ChannelStats] = {}
    notes, untold = list[str](), list[ir.Value]()
    for value in graph.inputs:
        name = str(value.name)
        if len(dims(value) or []) < 2:
            is_told = dims(value) is None or name in config.inputs
            untold += [value] if holds_floats(value) and not is_told else []
            continue
        told = of_integers(value, prepared, config)
        if holds_floats(value):
            said = (shown or {}).get(name) or given_range(value, config, channel_count(value))
            said = said or inferred(value, prepared, judged.get(name))
            told = _of_floats(value, said, (known_ends or {}).get(name), judged.get(name))
        if told is not None:
            known[name], note = told
            notes.append(about(name, note))
        elif name in on_the_left:
            notes.append(of_graph(name))
        elif holds_floats(value):
            untold.append(value)
    unread = [str(value.name) for value in before_layers(graph, untold)]
    return known, notes + ([of_unread(unread)] if unread else [])


def _check_names(graph: ir.Graph, config: Config) -> None:
    there = [str(value.name) for value in graph.inputs]
    if unknown := [name for name in config.inputs if name not in there]:
        raise ConfigError(
            f"there is no input {unknown[0]!r}: the network has {', '.join(map(repr, there))}"
        )


def _of_floats(
    value: ir.Value, told: Told | None, planned: Ends | None, verdict: Verdict | None
) -> Told | None:
    """Return what is known of an input of floats, in its layout: as planned, or as told."""
    channels = channel_count(value)
    if planned is not None:
        told = _planned(planned, told, verdict), "as planned"
        check_channels("the plan's range", told[0].low, channels, value)
    return None if told is None else (laid_out(told[0], value, channels), told[1])


def _planned(planned: Ends, told: Told | None, verdict: Verdict | None) -> ChannelStats:
    """Return the statistics that a planned range came from: what is told, or else pictures'."""
    low, high = (np.array(end) for end in planned)
    if told is not None:
        taken = for_rivals(told[0], verdict)
        both = (taken.low, low), (taken.high, high)  # a plan says once what channels share
        if all((one == other).all() for one, other in both):
            return told[0]
    return pixel_stats(low, high)
