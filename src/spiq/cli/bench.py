"""``spiq bench``."""

from typing import Annotated

import typer

from spiq.cli import files, options, output


def bench(
    models: options.Models,
    threads: Annotated[int, typer.Option(metavar="N", help="0: as many as there are.")] = 1,
    batch: Annotated[int, typer.Option(metavar="N", help="Size of a dynamic batch.")] = 1,
    seconds: Annotated[float, typer.Option(metavar="S", help="At most so long, about.")] = 20.0,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=N,C,H,W", help="Shape of a dynamic input; repeatable."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure latency; several networks take turns and are compared with the first."""
    from spiq.cli.render.tables.evaluation import render_latency
    from spiq.evaluation.latency import compare

    with output.counting("rounds") as tell:
        result = compare(
            files.all_given(models),
            threads=threads,
            batch=batch,
            seconds=seconds,
            shapes=options.shapes("--shape", shape),
            progress=tell,
        )
    output.result(result, render_latency, json=json)
