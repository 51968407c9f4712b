"""``spiq quantize``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spiq.cli import files, groups, options, output, sources, strong, texts, typed
from spiq.errors import ConfigError

if TYPE_CHECKING:
    import onnx_ir as ir

    from spiq.analysis import Analysis
    from spiq.config import Config
    from spiq.planning.plan.values import Plan
    from spiq.quantized import Quantized
    from spiq.stats.sidecar import Statistics


@groups.taking(groups.PLANNED, before="stats")
def quantize(
    context: typer.Context,
    model: options.Model,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT.onnx", help="Default: MODEL.int8.onnx; - for stdout."
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="PLAN.json", help="Follow a plan, edited or not.", show_default=False),
    ] = None,
    stats: Annotated[
        Path | None,
        typer.Option(
            metavar="STATS.json",
            help="What BatchNorm said before it was folded away; `spiq torch stats` writes it.",
            show_default=False,
        ),
    ] = None,
    allow_import: options.AllowImport = False,
    timing: options.Timing = None,
    prefer: options.Prefer = "balanced",
    uint8_input: Annotated[
        bool,
        typer.Option(
            "--uint8-input", help="The result takes pixels, as bytes, and normalizes them itself."
        ),
    ] = False,
    effort: strong.Effort = "seconds",
    device: strong.Device = "auto",
    seed: strong.Seed = 0,
    keep_pictures: strong.KeepPictures = None,
    save_plan: Annotated[
        Path | None, typer.Option(metavar="PLAN.json", help="Write what was decided, too.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="REPORT.html", help="Write a page about it, as `spiq report` does."),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(
            metavar="ORG/REPO",
            help="Write it to the Hugging Face Hub, too, with a model card.",
            show_default=False,
        ),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Quantize a network to int8, without data, or with a few images."""
    _check_options(context)
    how = options.config(context) if plan is None else _load(plan)
    learning = strong.where(context, how)
    written = out or sources.result(model)
    _check_outputs(context, written)
    statistics = None if stats is None else _statistics(stats)
    network = sources.network(
        model, allow_import=allow_import, size=texts.extent(context.params["input_size"])
    )
    if uint8_input:
        network, how = sources.of_pixels(network, how)
    if report is None:
        made, known = sources.quantized(network, how, statistics, **learning), None
    else:
        made, known = sources.explained(network, how, statistics, **learning)

    # All that may fail comes before the files: what fails leaves nothing behind.
    from spiq.cli.render.tables import quantization as tables

    names = {"model": str(model), "output": str(written)}
    if plan is not None:
        names["plan"] = str(plan)
    page = output.rendered(made.report, tables.render_quantized, json=json, **names)
    warnings = tables.warnings(made.report)

    beside = {} if save_plan is None else {str(save_plan): made.plan.to_json().encode()}
    if report is not None:
        beside[str(report)] = _report(context, made, network, how, statistics, known)
    files.put(made.network, written, source=model, force=force, beside=beside)
    code = output.said_of(page, written, json=json)
    for warning in warnings:
        output.warn(warning)
    if push is not None:
        _push(made, push, model, written)
    if code:
        raise typer.Exit(code)


def _check_options(context: typer.Context) -> None:
    """Check that no two options say different things."""
    given = context.params
    if given["plan"] is not None and (said := strong.beside_a_plan(context)):
        raise ConfigError(
            f"--plan says how to quantize, and so does {said[0]}: leave one of them out, or edit "
            "the plan"
        )
    if given["uint8_input"] and (given["plan"] or given["save_plan"]):
        raise ConfigError(
            "--uint8-input makes another network of the one that is given, and plans are of that: "
            "leave out --plan and --save-plan"
        )


def _load(path: Path) -> "Plan":
    from spiq.planning.plan.values import Plan

    return Plan.load(path)


def _statistics(path: Path) -> "Statistics":
    from spiq.stats.sidecar import Statistics

    return Statistics.load(path)


_BESIDE = ("save_plan", "report", "keep_pictures")
"""Names of the options that say what to write besides."""


def _check_outputs(context: typer.Context, written: Path) -> None:
    """Check where to write, before the work that takes time."""
    given = context.params
    beside = {f"--{name.replace('_', '-')}": given[name] for name in _BESIDE}
    files.check_all(
        written, beside, source=given["model"], read=given["plan"], force=given["force"],
        json=given["json"],
    )  # fmt: skip
    if given["report"] is not None:
        _check_report()
    if given["push"] is not None:
        _check_push(given["push"], written)


def _check_push(repo: str, written: Path) -> None:
    from spiq.hub.repository import check_repository

    if written == files.STREAM:
        raise ConfigError("--push needs the name of a file: give -o one")
    check_repository(repo)


def _push(made: "Quantized", repo: str, model: Path, written: Path) -> None:
    """Write the network and its card to the Hub."""
    from spiq.hub import repository
    from spiq.hub.model_card import model_card

    base = repository.parsed(str(model)).repo if files.is_hub(model) else None
    card = model_card(made.report, file=written.name, base=base)
    contents = {written.name: written.read_bytes(), "README.md": card.encode()}
    address = repository.push(repo, contents, message=f"{written.name}, quantized by spiq")
    output.note(f"pushed to {address}")


def _check_report() -> None:
    """Check that a report can be made."""
    from spiq.report.drawn import check_installed

    check_installed()


def _report(
    context: typer.Context,
    made: "Quantized",
    network: "Path | bytes | ir.Model",
    how: "Config | Plan",
    statistics: "Statistics | None",
    known: "Analysis | None",
) -> bytes:
    """Return the page about what was made."""
    from spiq.config import Config
    from spiq.report.drawn import drawing
    from spiq.report.make import of_result, render

    seen = {name: context.params[name] for name in ("images", "input_order")}
    subject = of_result(
        made,
        sources.plain(network),
        name=str(context.params["model"]),
        command=typed.command(context),
        config=how if isinstance(how, Config) else Config(**seen),
        statistics=statistics,
        known=known,
    )
    with drawing() as drawn:
        return render(subject, drawn).encode()
