"""Detection results as tables for people."""

from statistics import fmean

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from spiq.cli.render import cells
from spiq.evaluation.tasks.detection.results import DetectionResult

_LISTED = 8
"""Images that are listed as skipped; the rest is counted. JSON has all."""


def evaluated(result: DetectionResult) -> RenderableType:
    """Show the precision of several networks on the same images."""
    table = cells.table("model", "mAP50", "mAP", "VOC mAP50")
    for score in result.models:
        measured = (score.mAP50, score.mAP, score.voc_mAP50)
        row = [cells.interval(value, ".4f", ".3f") for value in measured]
        table.add_row(cells.Name(score.model), *row)
    lines = [
        f"{result.images} images of {result.card} with {result.boxes} boxes, in "
        f"{cells.pace(result.images, result.seconds)}, "
        f"{100 * result.runtime_share:.0f} % of it in the runtime",
        "second lines: 95 % intervals",
    ]
    return Padding(
        Group(
            table,
            *_beside(result),
            *(Text(line, style="dim") for line in lines),
            *_skipped(result.skipped),
        ),
        (0, 1),
        expand=False,
    )


def _beside(result: DetectionResult) -> list[RenderableType]:
    """Return a table of the networks after the first one, and what its columns say."""
    pairs = [(score.model, score.comparison) for score in result.models]
    others = [(model, other) for model, other in pairs if other is not None]
    if not others:
        return []
    table = cells.table("against the first", "mAP50", "mAP", "disagree %", "SNR")
    for model, other in others:
        ratios = (200.0 if value is None else value for value in other.snr_db.values())
        table.add_row(
            cells.Name(model),
            cells.interval(other.mAP50_difference, "+.4f", "+.3f"),
            cells.interval(other.mAP_difference, "+.4f", "+.3f"),
            f"{100 * fmean(other.disagreement):.1f}",
            Text("\n").join(cells.decibels(ratio) for ratio in ratios),
        )
    outputs = ", ".join(others[0][1].snr_db)
    note = f"disagree: of the boxes, mean over the images; SNR: of {outputs}"
    return [table, Text(note, style="dim")]


def _skipped(lines: tuple[str, ...]) -> list[Text]:
    if not lines:
        return []
    shown = [Text(f"  {line}", style="yellow") for line in lines[:_LISTED]]
    if len(lines) > _LISTED:
        shown.append(Text(f"  and {len(lines) - _LISTED} more", style="yellow"))
    return [Text(f"{len(lines)} images skipped:", style="yellow"), *shown]
