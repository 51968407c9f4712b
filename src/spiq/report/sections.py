"""The sections of a report but that of the layers, as HTML."""

import shlex
from collections.abc import Iterator, Sequence

from spiq.report import html
from spiq.report.facts import Facts, InputFacts, LayerFacts, OutputFacts
from spiq.report.findings import Finding, Remedy

SOURCES = {
    "norm": "stated by a BatchNorm or another normalization",
    "synthetic": "observed on synthetic pictures",
    "data": "observed on the images given",
    "propagated": "carried through operators by their rules",
    "input": "assumed of the network's input",
    "constant": "constants",
    "unknown": "unknown",
}
"""What the sources of statistics are, surest first."""


def summary(facts: Facts) -> str:
    """Return float and quantized side by side, and what casts doubt on it."""
    how = f"<small>method {html.text(facts.method)}, for {html.text(facts.target)}</small>"
    rows = [
        _size(facts),
        *(
            [f"Signal over noise at {html.name(o.name)}", "exact", _output(o)]
            for o in facts.outputs
        ),
        *_work(facts),
        *_time(facts),
        ["Bits", "32", f"{html.text(facts.bits)} {how}"],
        *([f"Range of input {html.name(i.name)}", "any", _input(i)] for i in facts.inputs),
    ]
    return html.section(
        "summary", "Summary", html.table(["", "Float", "Quantized"], rows), _warnings(facts)
    )


def _size(facts: Facts) -> list[str]:
    before, after = facts.bytes_before, facts.bytes_after
    smaller = f"{html.size(after)} <small>{_ratio(before, after)}</small>"
    return ["Size of the file", html.size(before), smaller]


def _work(facts: Facts) -> Iterator[list[str]]:
    done, share = sum(layer.on_integers for layer in facts.layers), facts.integer_macs
    known = "not known, since sizes are open" if share is None else html.percent(share)
    yield ["Layers on integers", "0", f"{done} of {len(facts.layers)}"]
    yield ["Multiply-accumulates on integers", "0 %", known]


def _ratio(before: int, after: int) -> str:
    return f"{before / after:.1f} times smaller" if before >= after else "larger"


def _output(output: OutputFacts) -> str:
    if output.snr_db is None:
        return f"not known: {html.text(output.why_not)}"
    return (
        f"{output.snr_db:.0f} dB <small>nine of ten outputs lie between {output.low:.0f} and "
        f"{output.high:.0f} dB; higher is better</small>"
    )


def _time(facts: Facts) -> Iterator[list[str]]:
    """Yield the time of one call, or of all operators where that was not measured."""
    found = facts.latency
    if found is not None:
        speed = (
            f"{found.ratio:.2f} of float's ({found.low:.2f} to {found.high:.2f}), one thread; less "
            "is better"
        )
        before, after = found.float_ms, found.int8_ms
        yield ["Time of one call", *_times(before, after, speed)]
    elif facts.timed:
        before, after = (
            sum(getattr(layer, kind) or 0.0 for layer in facts.layers)
            + sum(getattr(other, kind) for other in facts.others)
            for kind in ("float_ms", "ms")
        )
        speed = f"{after / before:.2f} of float's" if before else ""
        yield ["Time of all operators", *_times(before, after, f"{speed}, one thread, profiled")]


def _times(before: float, after: float, said: str) -> tuple[str, str]:
    return html.milliseconds(before), f"{html.milliseconds(after)} <small>{said}</small>"


def _input(given: InputFacts) -> str:
    said = f"<small>{html.text(given.said)}</small>" if given.said else ""
    return f"{given.low:.4g} to {given.high:.4g} {said}"


def _warnings(facts: Facts) -> str:
    if not facts.warnings:
        return ""
    items = "".join(f"<li><b>Warning:</b> {html.text(said)}</li>" for said in facts.warnings)
    return f'<ul class="warnings">{items}</ul>'


def mend(facts: Facts, findings: Sequence[Finding]) -> str:
    """Return cause and remedy of what is bad."""
    if not findings:
        return html.section(
            "mend", "What to mend", "<p>Nothing stands out: no layer alone costs much.</p>"
        )
    return html.section(
        "mend",
        "What to mend",
        *(_finding(finding, facts) for finding in findings),
        _how(facts) if any(r.edits_plan for f in findings for r in f.remedies) else "",
        note="By how much the signal-to-noise ratio would rise at most, if the cause were gone and "
        "all else stayed, and what to do about it.",
    )


def _how(facts: Facts) -> str:
    """Return how a plan is edited."""
    command, model = facts.command, facts.command[2]
    make = shlex.join(["spiq", "plan", "make", *command[2:], "-o", "plan.json"])
    first = "" if "--plan" in command else f"{make}\n"
    plan = command[command.index("--plan") + 1] if "--plan" in command else "plan.json"
    lines = (
        f"{first}python3 - <<'EDIT'\nimport json, pathlib\n"
        f"path = pathlib.Path({plan!r})\nplan = json.loads(path.read_text())\n"
        "# the lines of the remedy here\n"
        "path.write_text(json.dumps(plan, indent=1))\nEDIT\n"
        + shlex.join(["spiq", "quantize", model, "--plan", plan])
    )
    return (
        "<details><summary class='plain'>How to edit the plan</summary>"
        f"{_code(lines, 'Commands')}</details>"
    )


def _finding(finding: Finding, facts: Facts) -> str:
    gain = f'<span class="gain">up to +{finding.gain_db:.1f} dB</span>' if finding.gain_db else ""
    links = _links(finding, facts)
    remedies = "".join(map(_remedy, finding.remedies))
    return (
        f'<article class="finding">{gain}<h3>{html.text(finding.title)}</h3>'
        f"<p>{html.text(finding.cause)} {links}</p><ol>{remedies}</ol></article>"
    )


def _links(finding: Finding, facts: Facts) -> str:
    """Return links to the layers that a finding is about, the first few."""
    numbers = {layer.name: index for index, layer in enumerate(facts.layers)}
    known = [name for name in finding.where if name in numbers]
    links = ", ".join(
        f'<a class="open" data-id="{numbers[n]}" href="#layer-{numbers[n]}">{html.name(n)}</a>'
        for n in known[:4]
    )
    more = f" and {len(known) - 4} more" if len(known) > 4 else ""
    return f"See {links}{more}." if known else ""


def _remedy(remedy: Remedy) -> str:
    needs = f" <small>({html.text(remedy.needs)})</small>" if remedy.needs else ""
    label = "Edit of the plan" if remedy.edits_plan else "Command"
    return f"<li><p>{html.text(remedy.text)}{needs}</p>{_code(remedy.code, label)}</li>"


def _code(lines: str, label: str) -> str:
    return (
        f'<div class="code"><pre tabindex="0" aria-label="{label}">{html.text(lines)}</pre>'
        '<button type="button" class="copy">Copy</button></div>'
    )


def ranking(facts: Facts) -> str:
    """Return where error arises: expected, and measured."""
    if not any(layer.expected_cost for layer in facts.layers):
        return ""
    return html.section(
        "ranking",
        "Where error arises",
        html.legend([("var(--accent)", "measured", False), ("var(--muted)", "expected", True)]),
        html.chart("chart-ranking", "Layers by their share of the error, expected and measured"),
        note="A layer's part in the error at the network's outputs: by the rounding of what it "
        "reads, and of its weight. <b>Expected</b> is what the plan was decided by, from "
        "statistics alone. <b>Measured</b>: the error that storing a tensor makes on a synthetic "
        "picture was added to the float network, and the outputs compared. Both are shares of all "
        "layers' together, less is better. What is expected of the first layers of a deep network "
        "is too high.",
    )


def in_float(facts: Facts) -> str:
    """Return what stays in float, and why."""
    reasons: dict[str, list[LayerFacts]] = {}
    for layer in facts.layers:
        if not layer.on_integers:
            reasons.setdefault(layer.reason or "not quantized", []).append(layer)
    if not reasons:
        return html.section("float", "What stays in float", "<p>No layer does.</p>")
    rows = [
        [html.text(reason), ", ".join(html.name(layer.name) for layer in layers)]
        for reason, layers in reasons.items()
    ]
    return html.section("float", "What stays in float", html.table(["Reason", "Layers"], rows))


def sources(facts: Facts) -> str:
    """Return where the statistics of what layers read come from."""
    rows = []
    for source, meaning in SOURCES.items():
        layers = [layer for layer in facts.layers if layer.statistics == source]
        if layers:
            doubt = sum(layer.doubt for layer in layers) / len(layers)
            known = "not known" if source == "unknown" else f"{doubt:.2f}"
            rows.append([html.text(meaning.capitalize()), str(len(layers)), known])
    notes = "".join(f"<li>{html.text(note)}</li>" for note in facts.notes)
    return html.section(
        "sources",
        "Where statistics come from",
        html.table(["Source", "Layers that read it", "Mean doubt"], rows, numbers=1),
        f'<p class="note">Noted on the way:</p><ul class="note">{notes}</ul>' if notes else "",
        note="Doubt is the spread of the logarithm of a channel's deviation around what is "
        "expected: 0 where it is stated, 0.2 where it is known to about 20 %; less is better.",
    )


def latency(facts: Facts) -> str:
    """Return where time goes."""
    if not facts.timed:
        return html.section(
            "latency",
            "Where time goes",
            "<p>The runtime's profiler shows too few of the layers by name, so that the column "
            "shows multiply-accumulates.</p>",
        )
    rows = [
        [html.text(row.operator), html.milliseconds(row.float_ms), html.milliseconds(row.ms)]
        for row in facts.others
        if max(row.float_ms, row.ms) >= 0.001
    ]
    return html.section(
        "latency",
        "Where time goes",
        html.legend([("var(--accent)", "on integers", False), ("var(--muted)", "in float", True)]),
        html.chart("chart-latency", "The slowest layers, on integers and in float"),
        html.table(["Other operators", "Float", "Quantized"], rows, numbers=1) if rows else "",
        note="By ONNX Runtime's profiler on this machine, one core, median of several runs; "
        "profiling adds to each operator. Layers that the runtime joined to another one have no "
        "time of their own. Shorter is better. <code>spiq bench</code> compares whole networks.",
    )
