"""``spiq demo``."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from spiq.cli import files, options, output

PAGE = Path("spiq-demo.html")


def demo(
    report: Annotated[
        Path,
        typer.Option(
            metavar="FILE.html",
            help="The page about the quantized network; one of this name that is there is "
            "replaced, another one with --force. It needs the extra spiq[report].",
        ),
    ] = PAGE,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Quantize and measure the small network that comes with spiq, and leave a page about it."""
    from spiq.cli.render.tables.evaluation import render_demo
    from spiq.demo import run

    drawn = find_spec("altair") is not None and find_spec("vl_convert") is not None
    if drawn:
        files.checked(report, force=force or report == PAGE)
    with output.steps((*run.STEPS, "report")) as tell:
        result = run.run(progress=tell)
        if drawn:
            tell("report")
            files.put(run.page().encode(), report, force=True)
    written = {"report": str(report.resolve())} if drawn else {}
    output.result(result, render_demo, json=json, **written)
    if not drawn:
        output.note("for a page to look at: pip install 'spiq[report]'")
