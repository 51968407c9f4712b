"""``spiq convert``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiq.cli import files, options, output, sources
from spiq.targets import TARGETS

if TYPE_CHECKING:
    from spiq.quantized import Quantized


def convert(
    model: options.Model,
    plan: Annotated[
        Path,
        typer.Option(
            metavar="PLAN.json", help="Of `spiq quantize --save-plan`.", show_default=False
        ),
    ],
    target: Annotated[
        str, typer.Option(metavar="NAME", help=f"One of {', '.join(TARGETS)}.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT.onnx", help="Default: MODEL.TARGET.onnx."),
    ] = None,
    stats: Annotated[
        Path | None,
        typer.Option(
            metavar="STATS.json", help="The statistics that the plan was made with, if any."
        ),
    ] = None,
    images: options.Images = None,
    input_order: options.InputOrder = "RGB",
    save_plan: Annotated[
        Path | None, typer.Option(metavar="PLAN.json", help="Write the plan for the target, too.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Quantize a float network for another runtime by the plan of one.

    MODEL.onnx is the float network: an int8 file has no weights to round anew. Inputs, bits,
    roundings and what was left in float stay as in the plan; ranges, zero points and channel
    scales are chosen anew for the target's grids.
    """
    written = out or sources.result(model, target)
    beside = {"--save-plan": save_plan}
    files.check_all(written, beside, source=model, read=plan, force=force, json=json)
    made = _converted(model, plan, target, stats, images=images, input_order=input_order)

    from spiq.cli.render.tables import quantization as tables

    names = {"model": str(model), "output": str(written), "plan": str(plan)}
    page = output.rendered(made.report, tables.render_quantized, json=json, **names)
    plans = {} if save_plan is None else {str(save_plan): made.plan.to_json().encode()}
    files.put(made.network, written, source=model, force=force, beside=plans)
    code = output.said_of(page, written, json=json)
    for warning in tables.warnings(made.report):
        output.warn(warning)
    if code:
        raise typer.Exit(code)


def _converted(
    model: Path, plan: Path, target: str, stats: Path | None, **shown: Any
) -> "Quantized":
    from spiq import pipeline
    from spiq.convert import convert as run
    from spiq.planning.plan.values import Plan
    from spiq.stats.sidecar import Statistics

    read = Plan.load(plan)
    statistics = None if stats is None else Statistics.load(stats)
    with output.steps(pipeline.STEPS) as tell:
        return run(files.given(model), read, target, statistics=statistics, progress=tell, **shown)
