"""``spiq schema``."""

import json
from typing import Annotated

import typer


def schema(
    form: Annotated[
        str,
        typer.Argument(metavar="FORM", help="quantize, inspect, compare, eval, bench, sweep, ..."),
    ],
) -> None:
    """Print the JSON Schema of what a command prints with --json."""
    from spiq.cli.render.schema import schema as schema_of

    print(json.dumps(schema_of(form), indent=2))
