"""``spiq eval``."""

from pathlib import Path
from typing import Annotated

import typer

from spiq.cli import engines, files, options, output, texts


def evaluate(
    models: options.Models,
    card: Annotated[
        Path,
        typer.Option(metavar="CARD.toml", help="Says which images, and how.", show_default=False),
    ],
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only the first N images.")] = None,
    threads: Annotated[int, typer.Option(metavar="N", help="0: as many as there are.")] = 0,
    batch: Annotated[int, typer.Option(metavar="N", help="Images per call.")] = 8,
    runtime: options.Runtimes = "onnxruntime",
    on: engines.On = "local",
    shards: engines.Shards = None,
    memory: engines.Memory = None,
    view: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw the images that differ most; see DIR/index.html."),
    ] = None,
    outside: options.Outside = False,
    json: options.Json = False,
) -> None:
    """Measure accuracy; several networks or runtimes are compared with the first."""
    from spiq import evaluation
    from spiq.cli.render.tables.evaluation import render_evaluation
    from spiq.evaluation import view as pictures

    division = None
    if on != "local" or shards is not None or memory is not None:
        size = texts.size("--memory", memory)
        division = evaluation.Division(on=on, shards=shards, memory=size)
    networks = files.all_given(models)
    read = evaluation.read(card, outside=outside)
    if view is not None:
        pictures.check_folder(view, read)
    with output.counting("images") as tell:
        result = evaluation.evaluate(
            networks,
            read,
            limit=limit,
            threads=threads,
            batch=batch,
            runtimes=runtime.split(","),
            division=division,
            progress=tell,
        )
    if view is not None:
        with output.counting("pictures") as tell:
            pictures.write(networks, read, view, limit=limit, threads=threads, progress=tell)
    output.result(result, render_evaluation, json=json)

    for doubt in result.warnings:
        output.warn(doubt)
    if result.skipped:
        output.warn(f"{len(result.skipped)} images count nowhere, such as {result.skipped[0]}")
