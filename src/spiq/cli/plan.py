"""``spiq plan``."""

from pathlib import Path
from typing import Annotated

import typer

from spiq.cli import files, groups, options, output, strong
from spiq.cli.common import common, group

app = group("Make a plan to edit, or show one; `spiq quantize --plan` follows it.")


@app.command("make")
@common
@groups.taking(groups.PLANNED, before="effort")
def make(
    context: typer.Context,
    model: options.Model,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PLAN.json", help="Default: print it."),
    ] = None,
    effort: strong.Effort = "seconds",
    force: options.Force = False,
) -> None:
    """Decide how to quantize a network, and write down what was decided."""
    from spiq import pipeline

    config = options.config(context)
    if out is not None:
        files.checked(out, source=model, force=force)
    with output.steps(pipeline.STEPS) as tell:
        made = pipeline.plan(files.given(model), config, progress=tell)
    files.put(made.to_json().encode(), out or files.STREAM, source=model, force=force)


@app.command("show")
@common
def show(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.json", show_default=False)],
    json: options.Json = False,
) -> None:
    """Show a plan as tables, or with --json as spiq would write it."""
    from spiq.cli.render.tables.plan import render_plan
    from spiq.planning.plan.values import Plan

    read = Plan.load(plan)
    if json:
        print(read.to_json(), end="")
    else:
        output.show(render_plan(read, name=str(plan)))
