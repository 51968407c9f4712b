"""Latency as a picture: a bar for the median of each network, and how many times as fast it is."""

from typing import TYPE_CHECKING, Any

import altair as alt

from spiq.cli.render.plots.chart import COLOURS, INK, MUTED

if TYPE_CHECKING:
    from spiq.evaluation.latency import LatencyResult, LatencyScore

_STEP = 34
"""Pixels of a bar."""


def plot_latency(runs: "tuple[LatencyResult, ...]") -> alt.TopLevelMixin:
    """Draw one or several runs below one another."""
    return alt.vconcat(*map(_run, runs))


def _run(result: "LatencyResult") -> alt.LayerChart:
    threads = {0: "all threads", 1: "1 thread"}.get(result.threads, f"{result.threads} threads")
    rows = alt.Chart(alt.Data(values=[_row(score) for score in result.models])).encode(
        y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False))
    )
    title = "median milliseconds (the line ends where nine of ten rounds do); less is better"
    first = alt.condition("datum.first", alt.value(MUTED), alt.value(COLOURS[0]))
    bars = rows.mark_bar(height={"band": 0.62}).encode(
        x=alt.X("ms:Q", title=title, axis=alt.Axis(tickCount=6)), color=first
    )
    lines = rows.mark_rule(color=INK, strokeWidth=1.5).encode(x="ms:Q", x2="p90:Q")
    texts = rows.mark_text(align="left", dx=6, color=INK).encode(x="p90:Q", text="said:N")
    said = f"{result.rounds} interleaved rounds, {threads}, batch {result.batch}"
    return alt.layer(bars, lines, texts).properties(
        width=460,
        height=_STEP * len(result.models),
        title=alt.TitleParams("Latency", subtitle=said),
    )


def _row(score: "LatencyScore") -> dict[str, Any]:
    fast, said = score.times_as_fast, f"{score.median_ms:.3g} ms"
    if fast is not None:
        said += f", {fast.value:.2f} times as fast ({fast.low:.2f} to {fast.high:.2f})"
    return {
        "model": score.model,
        "ms": score.median_ms,
        "p90": score.p90_ms,
        "said": said,
        "first": fast is None,
    }
