"""The list of layers, ranked, each of which opens to what is known of it."""

from collections.abc import Iterator
from itertools import pairwise

from spiq.report import html
from spiq.report.facts import CLASSES, Channels, Facts, LayerFacts
from spiq.report.rows import expected_shares, ranked
from spiq.report.sections import SOURCES

_KEYS = {"rank": "error", "place": "order in the network", "slow": "time"}


def layer_list(facts: Facts) -> str:
    """Return all layers, the costliest first."""
    expected = expected_shares(facts)
    slowest = sorted(range(len(facts.layers)), key=lambda index: -(facts.layers[index].ms or 0.0))
    slow = {index: place for place, index in enumerate(slowest)}
    items = "\n".join(
        f'<li data-rank="{rank}" data-place="{index}" data-slow="{slow[index]}">'
        f"{_layer(index, layer, facts, expected[layer.name])}</li>"
        for rank, (index, layer) in enumerate(ranked(facts))
    )
    choices = "".join(f'<option value="{key}">{text}</option>' for key, text in _KEYS.items())
    return html.section(
        "layers",
        "Layers",
        f'<div class="bar"><label for="order">Order by</label><select id="order">{choices}'
        "</select></div>",
        '<div class="head" aria-hidden="true"><span></span><span>Layer</span>'
        '<span class="number">Error</span><span class="number">SNR</span>'
        '<span class="number wide">Time</span></div>',
        f'<ul class="layers">{items}</ul>',
        note="Error is the share of all error at the outputs, SNR the signal over all error behind "
        "the layer, its own and what came from in front. Open a layer for its channels.",
    )


def legend() -> str:
    """Return what the colours of layers mean."""
    ends = (0.0, *CLASSES, 1.0)
    names = [f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in pairwise(ends)]
    entries = [(f"var(--error-{index})", name, False) for index, name in enumerate(names)]
    return html.legend([*entries, ("var(--float)", "in float", False)])


def _layer(index: int, layer: LayerFacts, facts: Facts, expected: float) -> str:
    share = facts.share(layer) if layer.on_integers else None
    return (
        f'<details class="layer" id="layer-{index}" data-id="{index}"><summary>'
        f'<span class="swatch" style="--c:{_colour(layer, facts)}"></span>'
        f"{html.name(layer.name)}"
        f'<span class="number">{html.percent(share) if share is not None else "float"}</span>'
        f'<span class="number">{html.decibels(layer.snr_db)}</span>'
        f'<span class="number wide">{html.milliseconds(layer.ms)}</span></summary>'
        f'<div class="inside">{html.facts(_told(layer, facts, expected))}'
        f"{_drawn(index, layer.channels)}</div></details>"
    )


def _colour(layer: LayerFacts, facts: Facts) -> str:
    if not layer.on_integers:
        return "var(--float)"
    return f"var(--error-{sum(facts.share(layer) >= end for end in CLASSES)})"


def _told(layer: LayerFacts, facts: Facts, expected: float) -> Iterator[tuple[str, str]]:
    """Yield what is told of a layer."""
    yield "Layer", f"{layer.operator}, {layer.shape[0]} to {layer.shape[1]} channels"
    if layer.reason:
        yield "In float, because", html.text(layer.reason)
    yield "Weights", f"{html.number(layer.parameters)}{_bits(layer)}"
    yield "Multiply-accumulates", html.number(layer.macs)
    yield "Statistics of its input", f"{html.text(SOURCES[layer.statistics])} {_doubt(layer)}"
    if layer.on_integers:
        yield "Share of the error", _shares(layer, facts, expected)
        yield "Its own SNR, expected", html.decibels(layer.expected_snr_db)
    if layer.clipped is not None:
        yield "Of its input's error, clipping", html.percent(layer.clipped)
    if facts.timed:
        float_ms, ms = html.milliseconds(layer.float_ms), html.milliseconds(layer.ms)
        yield "Time", f"{ms} <small>float {float_ms}</small>"


def _bits(layer: LayerFacts) -> str:
    return f" at {layer.bits} bits" if layer.bits is not None else ""


def _doubt(layer: LayerFacts) -> str:
    return f"<small>doubt {layer.doubt:.2f}</small>" if layer.doubt else ""


def _shares(layer: LayerFacts, facts: Facts, expected: float) -> str:
    if layer.seen_cost is None:
        return f"{html.percent(facts.share(layer))} <small>expected</small>"
    return f"{html.percent(facts.share(layer))} <small>expected {html.percent(expected)}</small>"


def _drawn(index: int, channels: Channels | None) -> str:
    """Return where the channels of a layer's input are drawn, and the legend to it."""
    if channels is None:
        return ""
    entries = [
        ("var(--range)", "range chosen", False),
        ("var(--doubt)", "and its doubt", False),
        ("var(--accent)", f"ends of the grid of {channels.bits} bits", True),
    ]
    if channels.seen_low is not None:
        entries.append(("var(--ink)", "least and greatest seen", True))
    halves = "".join(
        f"<div><h4>{title}</h4>{html.chart(f'{key}-{index}', f'{title}: {channels.tensor}')}</div>"
        for key, title in (
            ("before", f"Before scaling: widest {channels.spread:.1f} times the median"),
            ("after", f"After scaling: {channels.spread_stored:.1f} times"),
        )
    )
    return (
        f'<p class="note">The {len(channels.low)} channels of {html.name(channels.tensor)}, '
        f'widest first.</p>{html.legend(entries)}<div class="pair">{halves}</div>'
    )
