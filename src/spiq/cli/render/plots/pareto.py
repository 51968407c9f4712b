"""What accuracy costs, as a picture: the time of each choice against the error that is left."""

from typing import TYPE_CHECKING, Any

import altair as alt

from spiq.cli.render.plots.chart import COLOURS, INK, MUTED
from spiq.cli.render.tables.quantization import PREFERRED

if TYPE_CHECKING:
    from spiq.speed import ParetoResult


def plot_pareto(result: "ParetoResult", *, name: str) -> alt.TopLevelMixin:
    """Draw the choices of a network, those by name that ``--prefer`` takes."""
    rows = _rows(result)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "ms:Q", title="milliseconds of kernels and conversions; less is better",
            scale=alt.Scale(zero=False),
        ),
        y=alt.Y("error:Q", title="expected error, % of all on integers; less is better"),
    )  # fmt: skip
    line = base.transform_filter("!datum.first").mark_line(
        color=COLOURS[0], interpolate="step-after"
    )
    points = base.mark_point(filled=True, size=80).encode(
        color=alt.condition("datum.first", alt.value(MUTED), alt.value(COLOURS[0]))
    )
    texts = base.mark_text(align="left", dx=8, dy=-8, color=INK).encode(text="name:N")
    limit = alt.Chart(alt.Data(values=[{"ms": result.float_ms, "name": "float"}])).encode(x="ms:Q")
    rule = limit.mark_rule(color=MUTED, strokeDash=[4, 3])
    label = limit.mark_text(align="right", dx=-4, color=MUTED).encode(
        y=alt.value(10), text="name:N"
    )
    return alt.layer(line.encode(order="ms:Q"), points, texts, rule, label).properties(
        width=460, height=300, title=alt.TitleParams(name, subtitle="1 thread, this machine")
    )


def _rows(result: "ParetoResult") -> list[dict[str, Any]]:
    """Return all choices as points; those that are alike are one, with all their names."""
    names: dict[tuple[float, float], list[str]] = {}
    for one in result.points:
        name = PREFERRED.get(one.slack, f"{one.slack:+.0%}")
        names.setdefault((one.ms, 100 * one.error), []).append(name)
    every = (result.on_integers.ms, 100 * result.on_integers.error)
    rows = [{"name": "all on integers", "ms": every[0], "error": every[1], "first": True}]
    for (ms, error), said in names.items():
        rows.append({"name": ", ".join(said), "ms": ms, "error": error, "first": False})
    return rows
