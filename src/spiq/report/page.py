"""One HTML page that shows a report: everything is in it, and it asks for nothing.

Vega, Vega-Lite and Vega-Embed stand in the page as one script (:mod:`spiq.report.drawn`); charts
are drawn by the browser from specifications (:mod:`spiq.report.charts`) and rows
(:mod:`spiq.report.rows`), those of a layer when it is opened. A content security policy keeps the
page from any request, whatever a name in a file may contain.
"""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import PurePath
from string import Template

from spiq import __version__
from spiq.report import html, sections
from spiq.report.drawn import Drawn
from spiq.report.facts import Facts
from spiq.report.findings import Finding
from spiq.report.layer_list import layer_list, legend
from spiq.report.rows import rows


def page(facts: Facts, findings: Sequence[Finding], drawn: Drawn) -> str:
    """Return the page.

    Args:
        facts: What it tells.
        findings: What is bad, of :func:`spiq.report.diagnosis.diagnose`.
        drawn: What draws its charts.
    """
    parts = (
        sections.summary(facts),
        sections.mend(facts, findings),
        sections.ranking(facts),
        layer_list(facts),
        sections.in_float(facts),
        sections.sources(facts),
        sections.latency(facts),
    )
    named = PurePath(facts.model).name
    return Template(_asset("page.html")).substitute(
        title=html.text(f"{named} on integers"),
        heading=html.text(named),
        lead=_lead(facts),
        width="time, by ONNX Runtime's profiler" if facts.timed else "multiply-accumulates",
        legend=legend(),
        sections="\n".join(parts),
        footer=f"Made by spiq {__version__}. {_pictures(facts)}",
        data=_json({"charts": drawn.timed if facts.timed else drawn.untimed, "rows": rows(facts)}),
        style=_asset("page.css"),
        script=_asset("page.js"),
        library=drawn.script,
    )


def _lead(facts: Facts) -> str:
    """Return what there is to say in one sentence."""
    known = [output for output in facts.outputs if output.snr_db is not None]
    worst = min(known, key=lambda output: output.snr_db or 0.0, default=None)
    said = f"Quantized without data to {html.text(facts.bits)}"
    if worst is not None:
        said += f": about {worst.snr_db:.0f} dB of signal over noise at {html.name(worst.name)}"
        said += ", the least of its outputs" if len(known) > 1 else ""
    other = "" if facts.own_plan else (
        " The quantized file was not made by the plan shown here: what is expected, ranges and "
        "scales are of the plan that spiq would follow, SNR and times are of the file."
    )  # fmt: skip
    return f"{said}.{other}"


def _pictures(facts: Facts) -> str:
    return (
        f"Errors by layer were measured on {facts.pictures} synthetic "
        f"picture{'s' * (facts.pictures > 1)}; the signal-to-noise ratio at the outputs is an "
        "estimate for real ones."
    )


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")


def _json(data: object) -> str:
    """Return data as it may stand in a script, whatever is in names."""
    plain = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
