"""The rows that charts draw, from the facts: plain lists of numbers, as few as the eye can tell."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from spiq.report.facts import Channels, Facts, LayerFacts
from spiq.stats.channel import Array

Row = dict[str, Any]

_WORST = 15
"""Layers in the charts that rank them."""

_DRAWN = 160
"""Channels that are drawn of one tensor, about two pixels each; of more, every so many by width."""

_DIGITS = 4

_LONGEST = 26
"""Characters of a label; a longer name loses its middle."""


def rows(facts: Facts) -> dict[str, Any]:
    """Return the rows of each chart by name; ``channels`` has them by the number of a layer."""
    numbered = list(enumerate(facts.layers))
    labels = [f"{label(layer)}  {index + 1}" for index, layer in numbered]
    return {
        "layers": [_layer(i, layer, labels[i], facts) for i, layer in numbered],
        "ranking": list(_ranking(labels, facts)),
        "latency": list(_latency(numbered, labels)) if facts.timed else [],
        "channels": {
            str(i): _channels(layer.channels) for i, layer in numbered if layer.channels is not None
        },
    }


def ranked(facts: Facts) -> list[tuple[int, LayerFacts]]:
    """Return all layers with their numbers, the costliest first, and those in float last."""
    numbered = enumerate(facts.layers)
    return sorted(numbered, key=lambda one: (not one[1].on_integers, -one[1].cost, one[0]))


def label(layer: LayerFacts) -> str:
    """Return what tells a layer apart: its name without what says the same twice.

    >>> label(LayerFacts(name="/features/features.4/conv/conv.2/Conv", operator="Conv",
    ...                  on_integers=True))
    'features.4/conv.2'
    """
    parts = [part for part in layer.name.split("/") if part]
    parts = [
        part
        for part, after in zip(parts, [*parts[1:], ""], strict=True)
        if not after.startswith(f"{part}.") and (part != layer.operator or len(parts) == 1)
    ]
    short = "/".join(parts) or layer.name
    half = (_LONGEST - 1) // 2
    return short if len(short) <= _LONGEST else f"{short[:half]}…{short[-half:]}"


def expected_shares(facts: Facts) -> dict[str, float]:
    """Return each layer's share of what is expected of all, by name."""
    costs = {layer.name: layer.expected_cost or 0.0 for layer in facts.layers}
    whole = sum(costs.values()) or 1.0
    return {name: cost / whole for name, cost in costs.items()}


def _layer(index: int, layer: LayerFacts, label: str, facts: Facts) -> Row:
    width = (layer.ms or 0.0) if facts.timed else (layer.macs or 0) / 1e6
    return {
        "id": index,
        "label": label,
        "name": layer.name,
        "width": _short(width),
        "share": _short(facts.share(layer)),
        "integer": layer.on_integers,
    }


def _ranking(labels: Sequence[str], facts: Facts) -> Iterable[Row]:
    expected = expected_shares(facts)
    for index, layer in ranked(facts)[:_WORST]:
        if not layer.on_integers:
            continue
        shares = {"expected": expected[layer.name]}
        if layer.seen_cost is not None:
            shares["measured"] = facts.share(layer)
        for kind, share in shares.items():
            yield {"label": labels[index], "name": layer.name, "kind": kind, "share": _short(share)}


def _latency(numbered: Iterable[tuple[int, LayerFacts]], labels: Sequence[str]) -> Iterable[Row]:
    slowest = sorted(numbered, key=lambda one: -max(one[1].ms or 0.0, one[1].float_ms or 0.0))
    for index, layer in slowest[:_WORST]:
        for kind, ms in (("on integers", layer.ms), ("in float", layer.float_ms)):
            if ms is not None:
                row = {"label": labels[index], "name": layer.name, "kind": kind}
                yield {**row, "ms": _short(ms)}


def _channels(channels: Channels) -> Row:
    """Return columns, the widest channel first; what is alike in all channels is one number."""
    order = np.argsort(channels.low - channels.high, kind="stable")
    if len(order) > _DRAWN:
        order = order[np.linspace(0, len(order) - 1, _DRAWN).round().astype(int)]
    columns = {
        "l": channels.low, "h": channels.high, "scale": channels.scale, "d": channels.doubt,
        "sl": channels.seen_low, "sh": channels.seen_high,
    }  # fmt: skip
    return {
        "c": order.tolist(),
        **{name: _column(column, order) for name, column in columns.items()},
        "gl": _short(channels.grid_low),
        "gh": _short(channels.grid_high),
        "of": len(channels.low),
    }


def _column(column: Array | None, order: np.ndarray) -> list[float] | float | None:
    if column is None:
        return None
    numbers = [_short(float(number)) for number in column[order]]
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _short(number: float) -> float:
    """Return a number with as many digits as a picture shows."""
    return float(f"{number:.{_DIGITS}g}")
