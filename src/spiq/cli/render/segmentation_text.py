"""Scores of segmentation networks as a table for people."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from spiq.cli.render import cells
from spiq.evaluation.tasks.segmentation_results import SegmentationResult, SegmentationScore

_FALLEN = 3
"""Classes that are listed because they lose most."""


def evaluated(result: SegmentationResult) -> RenderableType:
    """Show mean IoU and pixel accuracy of several networks on the same images."""
    several = len(result.models) > 1
    against = ("agree %", "difference", "SNR") if several else ()
    table = cells.table("model", "mIoU %", "pixel acc. %", *against)
    for score in result.models:
        row = [cells.interval(score.miou), cells.interval(score.pixel_accuracy)]
        other = score.comparison
        if other is not None:
            row.append(Text(f"{other.agreement:.2f}"))
            row.append(cells.interval(other.miou_difference, "+.2f", "+.1f"))
            row.append(cells.decibels(200.0 if other.snr_db is None else other.snr_db))
        table.add_row(cells.Name(score.model), *row)
    first = result.models[0]
    which = f"{sum(entry.counted for entry in first.classes)} of {len(first.classes)} classes"
    notes = [
        f"{result.images} images of {result.card}, in "
        f"{cells.pace(result.images, result.seconds)}; mIoU of {which}",
        "second lines: 95 % intervals"
        + ("; agreement, difference of mIoU and SNR: against the first model" if several else ""),
    ]
    notes += [_fallen(first, score) for score in result.models[1:]]
    return Padding(
        Group(table, *(Text(note, style="dim") for note in notes if note)), (0, 1), expand=False
    )


def _fallen(first: SegmentationScore, score: SegmentationScore) -> str:
    """Name the classes that lose most, if any does."""
    losses = sorted(
        (other.iou - one.iou, one.name)
        for one, other in zip(first.classes, score.classes, strict=True)
        if one.counted and one.iou is not None and other.iou is not None
    )
    named = [f"{name} {loss:+.1f}" for loss, name in losses[:_FALLEN] if loss < 0]
    return f"loses most in {score.model}: {', '.join(named)}" if named else ""
