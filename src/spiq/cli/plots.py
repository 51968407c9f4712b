"""The option that draws a result."""

from pathlib import Path
from typing import Annotated

import typer

Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.png|svg", help="Draw it, too: the extra spiq[report].", show_default=False
    ),
]
