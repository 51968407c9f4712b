"""``spiq card``."""

from pathlib import Path
from typing import Annotated

import typer

from spiq.cli import files, options, output, texts
from spiq.cli.common import common, group
from spiq.errors import CardError, ConfigError

app = group("Check a task card, or write one to start from.")


@app.command("check")
@common
def check(
    card: Annotated[Path, typer.Argument(metavar="CARD.toml", show_default=False)],
    model: Annotated[
        Path | None,
        typer.Option(metavar="MODEL.onnx", help="See whether it fits, too.", show_default=False),
    ] = None,
    outside: options.Outside = False,
    json: options.Json = False,
) -> None:
    """Say what is wrong with a card, its data set and its network, in seconds."""
    from spiq.cli.render.tables.evaluation import render_check
    from spiq.evaluation import check as checks

    result = checks.check(card, model=model, outside=outside)
    output.result(result, render_check, json=json)
    for doubt in result.warnings:
        output.warn(doubt)
    if not result.ok:
        raise CardError(f"{card}: the check failed at step {result.findings[-1].step!r}")


@app.command("init")
@common
def init(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL.onnx", help="With DATA: guess.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA]", help="Folder of a data set, or a file of it.", show_default=False
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="classification|detection|segmentation", show_default=False),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Part of DATA. Default: val.", show_default=False),
    ] = None,
    input_size: options.InputSize = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="CARD.toml", help="Default: print it."),
    ] = None,
    force: options.Force = False,
) -> None:
    """Write a card that fits a network and its data, or with --task alone one to be filled in."""
    if out is not None:
        files.checked(out, force=force)
    text = _text(model, data, task, split, texts.extent(input_size), out)
    files.put(text.encode(), out or files.STREAM, force=force)


def _text(
    model: Path | None,
    data: Path | None,
    task: str | None,
    split: str | None,
    extent: tuple[int, int] | None,
    out: Path | None,
) -> str:
    """A guessed card, or one to be filled in."""
    if model is None and task is not None:
        from spiq.evaluation.cards.templates import template

        return template(task)
    if model is None or data is None:
        raise ConfigError(
            "give a network and its data, `spiq card init MODEL.onnx DATA`, or --task for a card "
            "to be filled in"
        )
    from spiq.evaluation.guess.card import guess

    size = None if extent is None else (extent[1], extent[0])
    made = guess(model, data, where=out or Path("card.toml"), task=task, split=split, size=size)
    for line in made.said:
        output.note(line)
    for doubt in made.warnings:
        output.warn(doubt)
    return made.text
