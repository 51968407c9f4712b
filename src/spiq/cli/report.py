"""``spiq report``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spiq.cli import files, groups, journal, options, output, sources, texts, typed
from spiq.errors import ConfigError

if TYPE_CHECKING:
    import onnx_ir as ir

    from spiq.report.gather import Subject


@groups.taking(groups.PLANNED, before="timing")
def report(
    context: typer.Context,
    model: options.Model,
    quantized: Annotated[
        Path | None,
        typer.Argument(
            metavar="[QUANTIZED.onnx]",
            help="Its quantized form; without one, it is quantized for the report.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--output", metavar="REPORT.html", help="Where to write it.")
    ] = Path("report.html"),
    plan: Annotated[
        Path | None,
        typer.Option(metavar="PLAN.json", help="The plan that was followed.", show_default=False),
    ] = None,
    timing: options.Timing = None,
    prefer: options.Prefer = "balanced",
    allow_import: options.AllowImport = False,
    force: options.Force = False,
) -> None:
    """Write a page about a quantized network: pictures, and cause and remedy of what is bad."""
    from spiq.report.drawn import drawing
    from spiq.report.make import render

    files.checked(out, source=model, force=force)
    _check_plan(context, plan)
    network = sources.network(
        model, allow_import=allow_import, size=texts.extent(context.params["input_size"])
    )
    with drawing() as drawn:
        subject = _subject(context, network, quantized, plan)
        page = render(subject, drawn)
    files.put(page.encode(), out, source=model, force=force)
    code = 0
    if out != files.STREAM and not journal.is_quiet():
        code = output.said_last(f"{out}\n", written=str(out))
    if code:
        raise typer.Exit(code)


def _check_plan(context: typer.Context, plan: Path | None) -> None:
    if plan is not None and (said := options.given(context, groups.QUANTIZATION)):
        raise ConfigError(
            f"--plan says how it was quantized, and so does {said[0]}: leave one of them out"
        )


def _subject(
    context: typer.Context,
    network: "Path | bytes | ir.Model",
    quantized: Path | None,
    plan: Path | None,
) -> "Subject":
    """Return what the report is about: a file that lies there, or what is made for it."""
    from spiq.planning.plan.values import Plan
    from spiq.report.make import of_file, of_result

    model, name = sources.plain(network), str(context.params["model"])
    command = typed.command(context)
    how = Plan.load(plan) if plan is not None else options.config(context)
    if quantized is not None:
        given = plan is not None or options.given(context, groups.QUANTIZATION)
        return of_file(quantized, model, name=name, command=command, how=how if given else None)
    made, known = sources.explained(network, how)
    config = None if isinstance(how, Plan) else how
    return of_result(made, model, name=name, command=command, config=config, known=known)
