"""Detection results as a table for people."""

from statistics import fmean

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from spiq.report import cells
from spiq.report.detection_results import DetectionComparison, DetectionResult

_LISTED = 8
"""Images that are listed as skipped; the rest is counted. JSON has all."""


def evaluated(result: DetectionResult) -> RenderableType:
    """Show the precision of several networks on the same images."""
    table = cells.table("model", "mAP50", "mAP", "VOC mAP50")
    several = len(result.models) > 1
    if several:
        for title in ("mAP50 diff.", "mAP diff.", "disagree %", "SNR"):
            table.add_column(title, justify="right", no_wrap=True)
    for score in result.models:
        measured = (score.mAP50, score.mAP, score.voc_mAP50)
        row = [cells.interval(value, ".4f", ".3f") for value in measured]
        table.add_row(cells.Name(score.model), *row, *_beside(score.comparison))
    lines = [
        f"{result.images} images of {result.card} with {result.boxes} boxes, in "
        f"{result.seconds:.1f} s, {100 * result.runtime_share:.0f} % of it in the runtime",
        "second lines: 95 % intervals",
    ]
    if several:
        lines[1] += "; differences, disagreement of the boxes and SNR: against the first model"
        outputs = next(s.comparison.snr_db for s in result.models if s.comparison is not None)
        if len(outputs) > 1:
            lines.append(f"SNR of the outputs {', '.join(outputs)}")
    parts: list[RenderableType] = [table, *(Text(line, style="dim") for line in lines)]
    return Padding(Group(*parts, *_skipped(result.skipped)), (0, 1), expand=False)


def _beside(other: DetectionComparison | None) -> list[Text]:
    if other is None:
        return []
    ratios = (200.0 if value is None else value for value in other.snr_db.values())
    return [
        cells.interval(other.mAP50_difference, "+.4f", "+.3f"),
        cells.interval(other.mAP_difference, "+.4f", "+.3f"),
        Text(f"{100 * fmean(other.disagreement):.1f}"),
        Text("\n").join(cells.decibels(ratio) for ratio in ratios),
    ]


def _skipped(lines: tuple[str, ...]) -> list[Text]:
    if not lines:
        return []
    shown = [Text(f"  {line}", style="yellow") for line in lines[:_LISTED]]
    if len(lines) > _LISTED:
        shown.append(Text(f"  and {len(lines) - _LISTED} more", style="yellow"))
    return [Text(f"{len(lines)} images skipped:", style="yellow"), *shown]
