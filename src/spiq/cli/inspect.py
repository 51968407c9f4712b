"""``spiq inspect``."""

from pathlib import Path
from typing import Annotated

import typer

from spiq.cli import options, output
from spiq.errors import ConfigError


def inspect(
    model: options.Model,
    quantized: Annotated[
        Path | None,
        typer.Argument(
            metavar="[QUANTIZED.onnx]", help="Its quantized form, to compare.", show_default=False
        ),
    ] = None,
    target: options.Target = "onnxruntime",
    exclude: options.Exclude = None,
    input_range: options.InputRange = None,
    input_mean: options.InputMean = None,
    input_std: options.InputStd = None,
    json: options.Json = False,
) -> None:
    """Show a network's layers, or with two networks where the second one leaves the first."""
    from spiq.cli.render import jsonable, text
    from spiq.config import Config
    from spiq.inspection.compare import compare
    from spiq.inspection.inspect import inspect as look

    config = Config(
        target=target,
        exclude=tuple(exclude or ()),
        input_range=options.ranges("--input-range", input_range),
        input_mean=options.numbers("--input-mean", input_mean),
        input_std=options.numbers("--input-std", input_std),
    )
    if quantized is None:
        layers = look(model, config)
        if json:
            print(jsonable.to_json(layers))
        else:
            output.show(text.inspected(layers))
        for warning in text.warnings(layers):
            output.warn(warning)
        return
    if config != Config():
        raise ConfigError("options of a quantization mean nothing for two models: leave them out")
    tensors = compare(model, quantized)
    if json:
        print(jsonable.to_json(tensors))
    else:
        output.show(text.compared(tensors))
