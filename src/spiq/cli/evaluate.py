"""``spiq eval``."""

from pathlib import Path
from typing import Annotated

import typer

from spiq.cli import options, output


def evaluate(
    models: options.Models,
    card: Annotated[
        Path,
        typer.Option(metavar="CARD.toml", help="Says which images, and how.", show_default=False),
    ],
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only the first N images.")] = None,
    threads: Annotated[int, typer.Option(metavar="N", help="0: as many as there are.")] = 0,
    batch: Annotated[int, typer.Option(metavar="N", help="Images per call.")] = 8,
    json: options.Json = False,
) -> None:
    """Measure accuracy; several networks are compared with the first."""
    from spiq import tasks
    from spiq.report import jsonable, text

    with output.counting("images") as tell:
        result = tasks.evaluate(
            models, card, limit=limit, threads=threads, batch=batch, progress=tell
        )
    if json:
        print(jsonable.to_json(result))
    else:
        output.show(text.evaluated(result))
