"""Accuracy on labelled images, latency, the demo, and the check of a card."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group as Rows
from rich.console import RenderableType
from rich.text import Text

from spiq.cli.render import cells
from spiq.evaluation.estimates import Estimate

if TYPE_CHECKING:
    from spiq.demo.run import DemoResult
    from spiq.evaluation import Result
    from spiq.evaluation.check import CheckResult
    from spiq.evaluation.latency import LatencyResult, LatencyRuns, LatencyScore

_FALLEN = 3
"""Classes that are listed because they lose most."""

_METRICS: Mapping[str, Mapping[str, Callable[[Any], Estimate]]] = {
    "classification": {"top-1 %": lambda score: score.top1, "top-5 %": lambda score: score.top5},
    "segmentation": {
        "mIoU %": lambda score: score.miou,
        "pixel acc. %": lambda score: score.pixel_accuracy,
    },
    "detection": {
        "mAP50 %": lambda score: score.mAP50.times(100),
        "mAP %": lambda score: score.mAP.times(100),
        "VOC mAP50 %": lambda score: score.voc_mAP50.times(100),
    },
}
"""The columns of each task."""

_INTERVALS = "second lines: 95 % intervals"


def render_evaluation(result: "Result") -> RenderableType:
    """Show how several networks did on the same images."""
    metrics = _METRICS[result.task]
    table = cells.table("model", *metrics)
    for score in result.models:
        row = [cells.interval(of(score)) for of in metrics.values()]
        table.add_row(cells.Name(score.model), *row)
    pace = f"{result.seconds:.1f} s ({result.images / max(result.seconds, 1e-9):.0f} images/s)"
    images = f"{result.images} images of {result.card}, in {pace}"
    share = f"{100 * result.runtime_share:.0f} % of it in the runtime"
    return cells.page(
        table,
        *_beside(result, next(iter(metrics))),
        cells.note(", ".join([images, share, *_of_task(result)])),
        *([] if len(result.models) > 1 else [cells.note(f"{_INTERVALS}; higher is better")]),
        *map(cells.note, _fallen(result)),
    )


def _beside(result: "Result", metric: str) -> list[RenderableType]:
    """Return a table of the networks after the first one, and what its columns say."""
    table = cells.table("against the first", "agree %", "difference", "SNR")
    for score in result.models:
        if (other := score.comparison) is not None:
            ratios = (200.0 if value is None else value for value in other.snr_db.values())
            table.add_row(
                cells.Name(score.model),
                f"{other.agreement:.2f}",
                cells.interval(other.difference, "+.2f", "+.1f"),
                Text("\n").join(cells.decibels(ratio) for ratio in ratios),
            )
    if not table.row_count:
        return []
    other = result.models[1].comparison
    outputs = ", ".join(other.snr_db) if other is not None else ""
    note = f"{_INTERVALS}; difference: of {metric.removesuffix(' %')}, in points; SNR: of {outputs}"
    better = "higher is better in all columns; difference above 0: better than the first"
    return [table, cells.note(note), cells.note(better)]


def _of_task(result: "Result") -> list[str]:
    """Say what the figures of a task are of."""
    first: Any = result.models[0]
    if result.task == "segmentation":
        counted = sum(entry.counted for entry in first.classes)
        return [f"mIoU of {counted} of {len(first.classes)} classes"]
    return [f"{first.boxes} boxes"] if result.task == "detection" else []


def _fallen(result: "Result") -> list[str]:
    """Name the classes that lose most, where networks are scored by class."""
    first, *others = (getattr(score, "classes", ()) for score in result.models)
    lines = []
    for score, classes in zip(result.models[1:], others, strict=True):
        losses = sorted(
            (other.iou - one.iou, one.name)
            for one, other in zip(first, classes, strict=True)
            if one.counted and one.iou is not None and other.iou is not None
        )
        if named := [f"{name} {loss:+.1f}" for loss, name in losses[:_FALLEN] if loss < 0]:
            lines.append(f"loses most in {score.model}: {', '.join(named)}")
    return lines


def render_latency(result: "LatencyResult") -> RenderableType:
    """Show the latency of several networks."""
    has_peak = result.peak_gmacs is not None
    columns = ["median ms", "p90 ms", "per second", "times as fast", *["% of peak"] * has_peak]
    table = cells.table("model", *columns)
    for score in result.models:
        share = score.share_of_peak
        table.add_row(
            cells.Name(score.model),
            f"{score.median_ms:.3f}",
            f"{score.p90_ms:.3f}",
            f"{score.per_second:.1f}",
            cells.interval(score.times_as_fast, ".2f", ".2f"),
            *["" if share is None else f"{100 * share:.0f}"] * has_peak,
        )
    profiles = [_slowest(score) for score in result.models if score.operators]
    threads = {0: "all threads", 1: "1 thread"}.get(result.threads, f"{result.threads} threads")
    return cells.page(
        table,
        *profiles,
        cells.note(
            f"{result.rounds} interleaved rounds, {threads}, batch {result.batch}; {_INTERVALS}"
        ),
        cells.note("times as fast as the first: ratio of the medians; above 1 is faster"),
        *([cells.note(_PEAK.format(result.peak_gmacs))] if has_peak else []),
    )


_PEAK = (
    "% of peak: of {:.0f} GMAC/s, which the int8 kernel reached at its best in the same rounds; "
    "products are those of the first network's layers"
)


def _slowest(score: "LatencyScore") -> RenderableType:
    """Show the operators of a network that take longest."""
    table = cells.table(f"operators of {score.model}", "ms", "%")
    for one in score.operators:
        table.add_row(cells.Name(one.name), f"{one.milliseconds:.3f}", f"{100 * one.share:.0f}")
    return table


def render_latencies(result: "LatencyRuns") -> RenderableType:
    """Show the latency of several networks, one table for each number of threads and batch."""
    return Rows(*map(render_latency, result.runs))


def render_demo(result: "DemoResult", report: str = "") -> RenderableType:
    """Show the shipped network as float and quantized, and say where the page about it is."""
    table = cells.table("", "top-1 %", "agree %", "SNR", "ms/image", "speed", "size")
    for row in result.rows:
        table.add_row(
            Text(row.name, style="bold"),
            cells.interval(row.top1),
            f"{row.agreement:.2f}",
            cells.decibels(row.snr_db),
            f"{row.milliseconds:.3f}",
            cells.speed(row.times_as_fast),
            cells.size(row.bytes),
        )
    return cells.page(
        table,
        cells.note(f"{result.network}, {result.images} test images; quantized without any"),
        cells.note(f"{_INTERVALS}; agree and SNR: with the float network, higher is better"),
        cells.note("speed: times as fast as float, above 1 is faster; 1 thread, batch 1"),
        cells.note(f"{result.seconds:.1f} s in all"),
        *([Text(f"to look at: {report}")] if report else []),
    )


def render_check(result: "CheckResult") -> RenderableType:
    """Show what the check of a card found, step by step."""
    rows = [
        (finding.step, Text(finding.text, style="" if finding.ok else "red"))
        for finding in result.findings
    ]
    verdict = Text("fine", style="green") if result.ok else Text("wrong", style="red")
    if result.ok and result.warnings:
        verdict = Text("doubtful", style="yellow")
    return cells.page(cells.facts(*rows, ("", verdict)))
