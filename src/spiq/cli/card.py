"""``spiq card``."""

from pathlib import Path
from typing import Annotated

import typer

from spiq.cli import options, output
from spiq.errors import CardError, OutputError

app = typer.Typer(help="Check a task card, or write one to start from.")


@app.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("check")
def check(
    card: Annotated[Path, typer.Argument(metavar="CARD.toml", show_default=False)],
    model: Annotated[
        Path | None,
        typer.Option(metavar="MODEL.onnx", help="See whether it fits, too.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Say what is wrong with a card, its data set and its network, in seconds."""
    from spiq.cli.render.tables.evaluation import render_check
    from spiq.evaluation import check as checks

    result = checks.check(card, model=model)
    output.result(result, render_check, json=json)
    for doubt in result.warnings:
        output.warn(doubt)
    if not result.ok:
        raise CardError(f"{card}: the check failed at step {result.findings[-1].step!r}")


@app.command("init")
def init(
    task: Annotated[str, typer.Option(metavar="classification|detection|segmentation")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="CARD.toml", help="Default: print it."),
    ] = None,
) -> None:
    """Write a card with comments, to be filled in."""
    from spiq.evaluation.cards.templates import template
    from spiq.io.write import check_output, write

    text = template(task)
    if out is None:
        print(text, end="")
        return
    if check_output(out).exists():
        raise OutputError(f"{str(out)!r} is there already: choose another name")
    write(text.encode(), out)
