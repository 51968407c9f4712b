"""A sweep as a picture: accuracy against latency, the Pareto front of each network as a line."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from spiq.cli.render.plots.chart import COLOURS, INK, MUTED
from spiq.cli.render.plots.front import front
from spiq.sweep.measures import SweepCell
from spiq.sweep.summary import SweepNetwork, SweepResult

_FLOAT = "float"


def plot_sweep(result: SweepResult) -> alt.TopLevelMixin:
    """Draw a field for each network that has a cell with latency."""
    fields = [
        _field(network, rows, result)
        for network in result.networks
        if len(rows := _rows(network, result.cells)) > 1
    ]
    if not fields:
        return alt.Chart(alt.Data(values=[{}])).mark_text(text="no cell was done and timed")
    return alt.concat(*fields, columns=2).resolve_scale(color="shared", shape="shared")


def _field(
    network: SweepNetwork, rows: list[dict[str, Any]], result: SweepResult
) -> alt.LayerChart:
    names, widths = [_FLOAT, *result.methods], [_FLOAT, *result.bits]
    colour = alt.Scale(domain=names, range=[INK, *_cycled(len(result.methods))])
    zero = alt.Scale(zero=False, nice=True)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("ms:Q", title="median milliseconds; less is better", scale=zero),
        y=alt.Y("value:Q", title=f"{network.metric}; higher is better", scale=zero),
    )
    line = base.transform_filter("datum.front").mark_line(color=MUTED, strokeDash=[4, 3])
    points = base.mark_point(filled=True, size=80, opacity=0.9).encode(
        color=alt.Color("method:N", scale=colour, title="method"),
        shape=alt.Shape("bits:N", scale=alt.Scale(domain=widths), title="bits"),
    )
    shown = line.encode(order="ms:Q") + points
    title = alt.TitleParams(network.name, subtitle=f"{network.images} images; dashed: the best")
    return shown.properties(width=340, height=260, title=title)


def _rows(network: SweepNetwork, cells: Sequence[SweepCell]) -> list[dict[str, Any]]:
    """Return the float network and all cells of it that have a latency, as points."""
    rows = []
    if network.value is not None and network.milliseconds is not None:
        rows.append(_point(_FLOAT, _FLOAT, network.milliseconds, network.value.value))
    for cell in cells:
        score = cell.score
        if cell.network == network.name and score is not None and score.latency is not None:
            ms = score.latency.milliseconds
            rows.append(_point(cell.method, cell.bits, ms, score.value.value))
    best = front([(row["ms"], row["value"]) for row in rows])
    return [row | {"front": on} for row, on in zip(rows, best, strict=True)]


def _point(method: str, bits: str, ms: float, value: float) -> dict[str, Any]:
    return {"method": method, "bits": bits, "ms": ms, "value": value}


def _cycled(number: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(number)]
