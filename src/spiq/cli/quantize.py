"""``spiq quantize``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spiq.cli import options, output
from spiq.errors import ConfigError

if TYPE_CHECKING:
    from spiq.config import Config
    from spiq.report.results import QuantizeResult


def quantize(
    model: options.Model,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT.onnx", help="Default: MODEL.int8.onnx."),
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="spiq|static", help="static: one range per tensor.")
    ] = "spiq",
    weight_bits: Annotated[int, typer.Option(metavar="2..8")] = 8,
    activation_bits: Annotated[int, typer.Option(metavar="3..8")] = 8,
    target: options.Target = "onnxruntime",
    exclude: options.Exclude = None,
    input_range: options.InputRange = None,
    input_mean: options.InputMean = None,
    input_std: options.InputStd = None,
    save_plan: Annotated[
        Path | None, typer.Option(metavar="PLAN.json", help="Write what was decided, too.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Allow to overwrite the model.")] = False,
    json: options.Json = False,
) -> None:
    """Quantize a network to int8, without data."""
    from spiq.config import Config

    config = Config(
        method=method,
        target=target,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        exclude=tuple(exclude or ()),
        input_range=options.ranges("--input-range", input_range),
        input_mean=options.numbers("--input-mean", input_mean),
        input_std=options.numbers("--input-std", input_std),
    )
    written = out or model.parent / f"{model.name.removesuffix('.onnx')}.int8.onnx"
    report = _quantize(model, config, written, save_plan, force)
    from spiq.report import jsonable, text

    names = {"model": str(model), "output": str(written)}
    if json:
        print(jsonable.to_json(report, **names))
    else:
        output.show(text.quantized(report, **names))
    for warning in text.low_snr(report, **names):
        output.warn(warning)


def _quantize(
    model: Path, config: "Config", written: Path, save_plan: Path | None, force: bool
) -> "QuantizeResult":
    """Check where to write, before the work that takes time; then do it, and write."""
    from spiq import pipeline
    from spiq.network.write import check_output, write

    target = check_output(written, source=model, force=force)
    if save_plan is not None and check_output(save_plan, source=model) == target:
        raise ConfigError(f"--save-plan {save_plan} is the output too: choose another name")
    with output.steps(pipeline.STEPS) as tell:
        result = pipeline.quantize(model, config, progress=tell)
    write(result.model, written, source=model, force=force)
    if save_plan is not None:
        write(result.plan.to_json().encode(), save_plan, source=model)
    return result.report
