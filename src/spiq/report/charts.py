"""The charts of a report, as Vega-Lite specifications made with Altair.

A chart names its data and holds none: the page gives it rows, so that one specification serves all
layers. Colours are CSS variables of the page; the browser resolves them where it draws, so that a
chart follows from light to dark by itself. They are drawn as SVG, which can be read out. How high a
chart of rows is, the page says: ``usermeta.step`` pixels a row (Vega-Lite's own steps do not go
with a width that is the page's).
"""

from typing import Any

import altair as alt

from spiq.report.facts import CLASSES

Spec = dict[str, Any]

_COLOURS = [f"var(--error-{index})" for index in range(len(CLASSES) + 1)]

_NARROW = 190
"""Pixels for the name of a layer."""


def charts(*, timed: bool) -> dict[str, Spec]:
    """Return all charts by name.

    Args:
        timed: Whether times are known; the network's column shows multiply-accumulates otherwise.
    """
    drawn = {
        "column": _column(timed=timed),
        "ranking": _ranking(),
        "latency": _latency(),
        "before": _channels(scaled=False),
        "after": _channels(scaled=True),
    }
    return {name: _styled(chart).to_dict() for name, chart in drawn.items()}


def _column(*, timed: bool) -> alt.Chart:
    """Draw the network as a column: a bar per layer, its colour error, its width time."""
    width = "time on integers, ms" if timed else "multiply-accumulates, millions"
    return (
        alt.Chart(alt.NamedData("layers"))
        .mark_bar(height={"band": 0.78}, cursor="pointer", minBandSize=3)
        .encode(
            y=_names(),
            x=alt.X("width:Q", title=width, axis=alt.Axis(tickCount=4, orient="top")),
            color=alt.condition(
                "datum.integer",
                alt.Color(
                    "share:Q",
                    scale=alt.Scale(type="threshold", domain=list(CLASSES), range=_COLOURS),
                    legend=None,
                ),
                alt.value("var(--float)"),
            ),
            tooltip=[
                alt.Tooltip("name:N", title="layer"),
                alt.Tooltip("share:Q", title="share of all error", format=".1%"),
                alt.Tooltip("width:Q", title=width, format=".3~g"),
            ],
        )
        .add_params(alt.selection_point(name="pick", fields=["id"], on="click"))
        .properties(width="container", usermeta={"step": 17})
    )


def _ranking() -> alt.LayerChart:
    """Draw what each layer was expected to cost, and what it was found to."""
    share = alt.X("share:Q", title="share of all error", axis=alt.Axis(format=".0%", tickCount=5))
    rows = alt.Chart(alt.NamedData("ranking")).encode(y=_names())
    line = rows.mark_rule(color="var(--line)", strokeWidth=2).encode(
        x=alt.X("min(share):Q"), x2="max(share):Q"
    )
    kind = alt.Scale(domain=["measured", "expected"], range=["var(--accent)", "var(--muted)"])
    dots = rows.mark_point(size=70, strokeWidth=2).encode(
        x=share,
        color=alt.Color("kind:N", scale=kind, legend=None),
        fill=alt.condition(
            "datum.kind == 'measured'", alt.value("var(--accent)"), alt.value("var(--page)")
        ),
        tooltip=[
            alt.Tooltip("name:N", title="layer"),
            alt.Tooltip("kind:N", title="error"),
            alt.Tooltip("share:Q", title="share", format=".1%"),
        ],
    )
    return (line + dots).properties(width="container", usermeta={"step": 22})


def _latency() -> alt.LayerChart:
    """Draw the time of each layer on integers, with that in float beside it."""
    rows = alt.Chart(alt.NamedData("latency")).encode(y=_names())
    kind = alt.Scale(domain=["on integers", "in float"], range=["var(--accent)", "var(--muted)"])
    colour = alt.Color("kind:N", scale=kind, legend=None)
    tips = [
        alt.Tooltip("name:N", title="layer"),
        alt.Tooltip("kind:N"),
        alt.Tooltip("ms:Q", format=".3~g"),
    ]
    bars = (
        rows.transform_filter("datum.kind == 'on integers'")
        .mark_bar(height={"band": 0.6})
        .encode(
            x=alt.X("ms:Q", title="milliseconds", axis=alt.Axis(tickCount=5)),
            color=colour,
            tooltip=tips,
        )
    )
    ticks = (
        rows.transform_filter("datum.kind == 'in float'")
        .mark_tick(thickness=3, bandSize=16)
        .encode(x="ms:Q", color=colour, tooltip=tips)
    )
    return (bars + ticks).properties(width="container", usermeta={"step": 22})


def _channels(*, scaled: bool) -> alt.LayerChart:
    """Draw the ranges of a tensor's channels, in real units or as they are stored."""
    over = " / datum.scale" if scaled else ""
    grid = "" if scaled else " * datum.scale"
    rows = (
        alt.Chart(alt.NamedData("channels"))
        .transform_calculate(
            low=f"datum.l{over}",
            high=f"datum.h{over}",
            unsure_low=f"datum.l{over} * exp(datum.d)",
            unsure_high=f"datum.h{over} * exp(datum.d)",
            seen_low=f"datum.sl === null ? null : datum.sl{over}",
            seen_high=f"datum.sh === null ? null : datum.sh{over}",
            grid_low=f"datum.gl{grid}",
            grid_high=f"datum.gh{grid}",
        )
        .encode(x=alt.X("x:O", axis=None, scale=alt.Scale(paddingInner=0.15)))
    )
    title = "divided by the channel's scale" if scaled else "as the network has it"
    value = alt.Y("low:Q", title=title, axis=alt.Axis(tickCount=5))
    tips = [
        alt.Tooltip("c:Q", title="channel"),
        alt.Tooltip("low:Q", title="low end", format=".3~g"),
        alt.Tooltip("high:Q", title="high end", format=".3~g"),
        alt.Tooltip("scale:Q", title="scale", format=".3~g"),
        alt.Tooltip("d:Q", title="doubt", format=".2f"),
    ]
    unsure = rows.mark_bar(color="var(--doubt)").encode(
        y=alt.Y("unsure_low:Q", title=title), y2="unsure_high:Q"
    )
    span = rows.mark_bar(color="var(--range)").encode(y=value, y2="high:Q", tooltip=tips)
    seen = [
        rows.mark_tick(color="var(--ink)", thickness=1.5, bandSize=5).encode(y=f"{end}:Q")
        for end in ("seen_low", "seen_high")
    ]
    ends = [
        rows.mark_tick(color="var(--accent)", thickness=2.5).encode(y=f"{end}:Q")
        for end in ("grid_low", "grid_high")
    ]
    return alt.layer(unsure, span, *ends, *seen).properties(width="container", height=220)


def _names() -> alt.Y:
    return alt.Y(
        "label:N",
        sort=None,
        title=None,
        axis=alt.Axis(labelLimit=_NARROW, ticks=False, domain=False, labelPadding=6),
    )


def _styled(chart: alt.Chart | alt.LayerChart) -> alt.Chart | alt.LayerChart:
    """Give a chart the page's type and colours."""
    font = "system-ui, -apple-system, 'Segoe UI', sans-serif"
    return (
        chart.configure(background="transparent", font=font, padding=4)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--muted)", titleColor="var(--muted)", labelFontSize=11,
            titleFontSize=11, titleFontWeight="normal", gridColor="var(--hair)",
            domainColor="var(--line)", tickColor="var(--line)",
        )
    )  # fmt: skip
