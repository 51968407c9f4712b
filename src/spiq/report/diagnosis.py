"""Find out what is bad about a quantized network, and why: facts in, findings out.

A layer is bad if the signal-to-noise ratio at the outputs would rise by GAIN_DB if it cost nothing.
Its cause is the first of these that is true of it:

    few-bit weights     its weight has fewer bits than the target takes, and brings most of its cost
    wide channel        one channel of its input is far wider than the rest, also as it is stored:
                        one scale for all by the method, or an operand of a product of two tensors
    clipped             most of the error of its input goes if its range is wider
    unknown statistics  those of its input, or what they follow from, were observed on synthetic
                        pictures, and are in doubt
    sensitive           none of them: its error is that of rounding, and counts

Beside bad layers, an input whose range is unsure is told.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from spiq.report import remedies
from spiq.report.facts import Channels, Facts, InputFacts, LayerFacts
from spiq.report.findings import Finding
from spiq.targets import WEIGHT_BITS

GAIN_DB = 0.5
"""What is worth a reader's time: a judgement. It is 11 % of what all layers cost."""

ENOUGH_DB = 30.0
"""Where all outputs reach this, a layer that is merely sensitive is not told: a judgement, at
0.1 % of noise in the signal."""

WIDE = 8.0
"""Widest channel over the median one, as stored, from which on most channels are left with 5 of 8
bits or fewer: log2(8) = 3 bits go to the widest one."""

MOSTLY = 0.5
"""Share of a layer's cost that makes something its cause."""

DOUBT = 0.1
"""Spread of the logarithm of a deviation from which on it counts as unknown; BatchNorm's is 0, and
what is observed has 0.1 to 0.3 (docs/design.md)."""


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """Return what is bad, what would win most first."""
    found = list(_inputs(facts))
    bad = [layer for layer in facts.layers if facts.gain_db([layer]) >= GAIN_DB]
    causes: dict[str, list[LayerFacts]] = {}
    for layer in bad:
        causes.setdefault(_cause(layer, facts), []).append(layer)
    found += [
        finding for kind, layers in causes.items() for finding in _FINDINGS[kind](layers, facts)
    ]
    return tuple(sorted(found, key=lambda one: -(one.gain_db or 0.0)))


def _cause(layer: LayerFacts, facts: Facts) -> str:
    channels = layer.channels
    few = layer.bits is not None and layer.bits < WEIGHT_BITS
    if few and layer.weight_cost > MOSTLY * layer.cost:
        return "few-bit weights"
    if channels is not None and channels.spread_stored >= WIDE:
        return "wide channel"
    if layer.widening_wins > MOSTLY and channels is not None:
        return "clipped"
    if layer.doubt >= DOUBT:
        return "unknown statistics"
    return "sensitive"


def _few_bits(layers: list[LayerFacts], facts: Facts) -> Iterator[Finding]:
    worst = max(layers, key=facts.share)
    yield Finding(
        kind="few-bit weights",
        title=f"Few bits for the weights of {_count(layers)}",
        cause=(
            f"Rounding the weights brings most of what {_these(layers)} cost: "
            f"{_percent(worst.weight_cost / facts.cost)} of all error at the outputs comes by the "
            f"weight of {worst.name} at {worst.bits} bits. One bit more halves its error."
        ),
        where=tuple(layer.name for layer in layers),
        gain_db=facts.gain_db(layers),
        remedies=remedies.more_bits(layers, facts),
    )


def _wide(layers: list[LayerFacts], facts: Facts) -> Iterator[Finding]:
    for layer, channels in _with_channels(layers):
        width = (channels.high - channels.low) / channels.scale
        yield Finding(
            kind="wide channel",
            title=f"One channel far wider than the rest in front of {layer.name}",
            cause=(
                f"Channel {int(width.argmax())} of {channels.tensor} is "
                f"{channels.spread_stored:.0f} times as wide as the median one as it is stored, "
                f"so that half of the channels are left with {_levels(channels)} levels or fewer."
                f"{_unscaled(facts)}"
            ),
            where=(layer.name,),
            gain_db=facts.gain_db([layer]),
            remedies=remedies.for_wide_channel(layer, facts),
        )


def _unscaled(facts: Facts) -> str:
    """Say why the method that gives channels scales of their own gives these none."""
    if facts.method != "spiq":
        return ""
    return " A product of two tensors has no weights that scales of its channels could fold into."


def _clipped(layers: list[LayerFacts], facts: Facts) -> Iterator[Finding]:
    for layer, channels in _with_channels(layers):
        beyond = remedies.beyond(channels)
        channel, factor = max(beyond.items(), key=lambda one: one[1], default=(0, 1.0))
        yield Finding(
            kind="clipped",
            title=f"What {layer.name} reads is clipped",
            cause=(
                f"{_percent(layer.clipped or 0.0)} of the error of {channels.tensor} lies beyond "
                f"the ends of its grid: on synthetic pictures {len(beyond)} of "
                f"{len(channels.low)} channels reach further than the grid does, channel "
                f"{channel} {factor:.1f} times as far. With {layer.widen:g} times the range, "
                f"{_percent(layer.widening_wins)} of the error would go."
            ),
            where=(layer.name,),
            gain_db=facts.gain_db([layer]),
            remedies=remedies.for_clipped(layer, channels, facts),
        )


def _unknown(layers: list[LayerFacts], facts: Facts) -> Iterator[Finding]:
    yield Finding(
        kind="unknown statistics",
        title=f"Unknown statistics in front of {_count(layers)}",
        cause=(
            f"No BatchNorm tells what {_these(layers)} read: ranges were observed on synthetic "
            f"pictures, where a deviation is known to a factor of about "
            f"{np.exp(max(layer.doubt for layer in layers)):.2f}, and are wide to be safe."
        ),
        where=tuple(layer.name for layer in layers),
        gain_db=facts.gain_db(layers),
        remedies=remedies.for_unknown(facts),
    )


def _sensitive(layers: list[LayerFacts], facts: Facts) -> Iterator[Finding]:
    if all(output.low >= ENOUGH_DB for output in facts.outputs if output.snr_db is not None):
        return
    for layer in layers:
        yield Finding(
            kind="sensitive",
            title=f"{layer.name} is sensitive",
            cause=(
                f"Its ranges fit; {_percent(facts.share(layer))} of all error at the outputs comes "
                "by it all the same, since what follows passes its error on."
            ),
            where=(layer.name,),
            gain_db=facts.gain_db([layer]),
            remedies=(remedies.in_float(layer, facts),),
        )


_FINDINGS: dict[str, Callable[[list[LayerFacts], Facts], Iterator[Finding]]] = {
    "few-bit weights": _few_bits,
    "wide channel": _wide,
    "clipped": _clipped,
    "unknown statistics": _unknown,
    "sensitive": _sensitive,
}


def _inputs(facts: Facts) -> Iterator[Finding]:
    """Tell inputs whose range is unsure."""
    for given in facts.inputs:
        if given.sure:
            continue
        yield Finding(
            kind="input range unsure",
            title=f"The range of input {given.name} is unsure",
            cause=f"It was {given.said.partition(';')[0]}. {_width(given)}",
            where=(given.name,),
            gain_db=None,
            remedies=remedies.for_input(given, facts),
        )


def _width(given: InputFacts) -> str:
    low, high = given.pictured
    wider = (given.high - given.low) / max(high - low, 1e-30)
    if wider < 1.05:
        return "If that is wrong, pictures are clipped or fill a part of the grid."
    return (
        f"To hold for the other guesses too, the grid is {wider:.1f} times as wide as such "
        "pictures need."
    )


def _with_channels(layers: Iterable[LayerFacts]) -> Iterator[tuple[LayerFacts, Channels]]:
    """Yield layers with the channels of what they read, each tensor once."""
    told = set[str]()
    for layer in layers:
        if layer.channels is not None and layer.channels.tensor not in told:
            told.add(layer.channels.tensor)
            yield layer, layer.channels


def _levels(channels: Channels) -> int:
    """Return how many levels of the grid the median channel fills."""
    width = (channels.high - channels.low) / channels.scale
    step = (channels.grid_high - channels.grid_low) / ((1 << channels.bits) - 1)
    return max(round(float(np.median(width)) / step), 1)


def _count(layers: list[LayerFacts]) -> str:
    return layers[0].name if len(layers) == 1 else f"{len(layers)} layers"


def _these(layers: list[LayerFacts]) -> str:
    return layers[0].name if len(layers) == 1 else f"these {len(layers)} layers"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
