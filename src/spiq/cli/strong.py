"""Options of the strong mode, which takes minutes or hours."""

from pathlib import Path
from typing import Annotated

import typer

from spiq.config import EFFORTS

Effort = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"{', '.join(EFFORTS)}: beyond seconds, roundings are learned on pictures made from "
        "the network's statistics; for few bits. Needs spiq[torch].",
    ),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda: where that is done.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Of the random numbers of that.")]
KeepPictures = Annotated[
    Path | None,
    typer.Option(metavar="FILE.npz", help="Write the pictures that are made.", show_default=False),
]
