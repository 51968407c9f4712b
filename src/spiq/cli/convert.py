"""``spiq convert``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiq.cli import files, options, output, sources
from spiq.errors import ConfigError, ModelError, OtherModelError, PlanError
from spiq.targets import TARGETS

if TYPE_CHECKING:
    from spiq.planning.plan.values import Plan
    from spiq.quantized import Quantized


def convert(
    model: options.Model,
    target: Annotated[
        str, typer.Option(metavar="NAME", help=f"One of {', '.join(TARGETS)}.", show_default=False)
    ],
    in_float: Annotated[
        Path | None,
        typer.Option(
            "--float",
            metavar="FLOAT.onnx",
            help="The float network that MODEL was made from. Default: by the name of MODEL, "
            "beside it.",
            show_default=False,
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="PLAN.json",
            help="Of `spiq quantize --save-plan`, edited or not. Default: the one that MODEL "
            "carries.",
            show_default=False,
        ),
    ] = None,
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
    """Make a network for another runtime of one that was quantized by spiq.

    MODEL.onnx is the quantized file, beside the float network that it was made from; or that
    network itself, with --plan. Inputs, bits, roundings and what was left in float stay; ranges,
    zero points and channel scales are chosen anew for the target's grids.
    """
    asked = _asked(model, in_float, plan)
    written = out or sources.result(asked.called, target)
    beside = {"--save-plan": save_plan}
    files.check_all(written, beside, source=asked.name, read=plan, force=force, json=json)
    made = _converted(asked, target, stats, images=images, input_order=input_order)

    from spiq.cli.render.tables import quantization as tables

    names = {"model": str(asked.name), "output": str(written), "plan": str(plan or model)}
    page = output.rendered(made.report, tables.render_quantized, json=json, **names)
    plans = {} if save_plan is None else {str(save_plan): made.plan.to_json().encode()}
    files.put(made.network, written, source=asked.name, force=force, beside=plans)
    code = output.said_of(page, written, json=json)
    for warning in tables.warnings(made.report):
        output.warn(warning)
    if code:
        raise typer.Exit(code)


@dataclass(frozen=True)
class _Asked:
    """What is to be converted.

    Attributes:
        network: The float network, its path or content.
        name: What it is called.
        plan: The plan that was followed.
        called: What the result is named after.
        quantized: The quantized file that was given, if one was.
    """

    network: Path | bytes
    name: Path
    plan: "Plan"
    called: Path
    quantized: Path | None = None


def _asked(model: Path, in_float: Path | None, plan: Path | None) -> _Asked:
    """Return what is to be converted, by the quantized file or by the float network.

    Raises:
        SpiqError: One of them is missing, or the plan is not theirs.
    """
    from spiq.signature import plan_of

    given = files.given(model)
    carried = plan_of(given)
    if carried is None:
        if in_float is not None:
            raise ConfigError(
                f"--float is for a file that spiq quantized, and {str(model)!r} is none: give the "
                "float network in its place, and --plan"
            )
        return _Asked(given, model, _plan_for(given, model, plan), model)
    followed = carried if plan is None else _in_place_of(carried, plan, model)
    by_name = sources.in_float(model)
    name = in_float or by_name
    if name is None or not (in_float or files.is_hub(name) or name.exists()):
        there = "" if name is None else f", and {str(name)!r} is not there"
        raise ModelError(
            f"{str(model)!r}: its weights are rounded{there}: give the float network that it was "
            "made from by --float"
        )
    return _Asked(files.given(name), name, followed, by_name or model, model)


def _in_place_of(carried: "Plan", plan: Path, model: Path) -> "Plan":
    """Return a plan that is to take the place of the one that MODEL carries."""
    from spiq.planning.plan.values import Plan

    read = Plan.load(plan)
    if read.model_hash != carried.model_hash:
        raise PlanError(
            f"{plan}: the plan was made for another network than {str(model)!r}: leave it out, or "
            "give the float network in place of the file"
        )
    return read


def _plan_for(given: Path | bytes, model: Path, plan: Path | None) -> "Plan":
    """Return the plan to convert a float network by."""
    from spiq.io.read import read
    from spiq.planning.plan.values import Plan

    if plan is None:
        read(given)  # what is no float network is told first
        raise ConfigError(
            f"{str(model)!r} is a float network: give the file that spiq made of it in its place, "
            "or --plan"
        )
    return Plan.load(plan)


def _converted(asked: _Asked, target: str, stats: Path | None, **shown: Any) -> "Quantized":
    from spiq import pipeline
    from spiq.convert import convert as run
    from spiq.stats.sidecar import Statistics

    statistics = None if stats is None else Statistics.load(stats)
    plan = asked.plan
    try:
        with output.steps(pipeline.STEPS) as tell:
            return run(asked.network, plan, target, statistics=statistics, progress=tell, **shown)
    except OtherModelError as error:
        if asked.quantized is None:
            raise
        raise ModelError(
            f"{str(asked.name)!r} is not the network that {str(asked.quantized)!r} was made from: "
            "give that one by --float"
        ) from error
