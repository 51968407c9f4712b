"""``spiq inspect``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from spiq.cli import files, groups, options, output
from spiq.errors import ConfigError


@groups.taking(groups.LOOKED_AT, before="json")
def inspect(
    context: typer.Context,
    model: options.Model,
    quantized: Annotated[
        Path | None,
        typer.Argument(
            metavar="[QUANTIZED.onnx]", help="Its quantized form, to compare.", show_default=False
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Show a network's layers, or with two networks where the second one leaves the first.

    Two networks are compared on synthetic pictures, or on yours: --images DIR.
    """
    from spiq.cli.render.tables import quantization as tables
    from spiq.config import Config
    from spiq.inspection import compare, inspect

    config = options.looked_at(context)
    if quantized is None:
        layers = inspect.inspect(files.given(model), config)
        output.result(layers, tables.render_inspected, json=json)
        for warning in tables.warnings(layers):
            output.warn(warning)
        return
    as_they_are = replace(
        config, target=Config.target, exclude=(), exclude_type=(), exclude_between=()
    )
    if config != as_they_are:
        raise ConfigError(
            "--target and --exclude mean nothing for two models, which are compared as they are: "
            "leave them out"
        )
    found = compare.compare(*files.all_given([model, quantized]), config=config)
    output.result(found, tables.render_compared, json=json)
