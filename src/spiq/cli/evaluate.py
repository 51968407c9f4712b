"""``spiq eval``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spiq.cli import options, output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from spiq.evaluation import Card, Result


def evaluate(
    models: options.Models,
    card: Annotated[
        Path,
        typer.Option(metavar="CARD.toml", help="Says which images, and how.", show_default=False),
    ],
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only the first N images.")] = None,
    threads: Annotated[int, typer.Option(metavar="N", help="0: as many as there are.")] = 0,
    batch: Annotated[int, typer.Option(metavar="N", help="Images per call.")] = 8,
    view: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw masks or boxes of the images that differ most."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure accuracy; several networks are compared with the first."""
    from spiq import evaluation
    from spiq.cli.render import jsonable

    read = evaluation.read(card)
    if view is not None:
        from spiq.evaluation.view import check_folder

        check_folder(view, read)
    with output.counting("images") as tell:
        result = evaluation.evaluate(
            models, read, limit=limit, threads=threads, batch=batch, progress=tell
        )
    if view is not None:
        _draw(models, read, view, limit, threads)
    if json:
        print(jsonable.to_json(result))
    else:
        output.show(_table(result))
    if result.skipped:
        left_out = f"{len(result.skipped)} images count nowhere, such as {result.skipped[0]}"
        output.warn(" ".join(left_out.split()))


def _draw(models: list[Path], card: "Card", folder: Path, limit: int | None, threads: int) -> None:
    from spiq.evaluation.view import write

    with output.counting("pictures") as tell:
        write(models, card, folder, limit=limit, threads=threads, progress=tell)


def _table(result: "Result") -> "RenderableType":
    """Return the table of the result's task."""
    from spiq.cli.render import detection_text, segmentation_text, text
    from spiq.evaluation.tasks.detection.results import DetectionResult
    from spiq.evaluation.tasks.segmentation_results import SegmentationResult

    match result:
        case DetectionResult():
            return detection_text.evaluated(result)
        case SegmentationResult():
            return segmentation_text.evaluated(result)
        case _:
            return text.evaluated(result)
