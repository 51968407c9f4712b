"""Options of the strong mode, which takes minutes or hours."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiq.cli import groups, options
from spiq.config import EFFORTS, SECONDS
from spiq.errors import ConfigError

if TYPE_CHECKING:
    from spiq.config import Config
    from spiq.planning.plan.values import Plan

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

_WHERE = ("device", "seed", "keep_pictures")
"""Names of the options that say how to learn; no plan says that."""

_SHOWN = ("images", "input_order")
"""Names of those that say what it may look at: images that the plan was made with, if any."""


def where(context: typer.Context, how: "Config | Plan") -> Mapping[str, Any]:
    """Return what the options say of how to learn, and on what.

    Raises:
        ConfigError: They say something, and nothing is learned; or another option is against it.
    """
    if how.effort == SECONDS and (said := options.given(context, _WHERE)):
        raise ConfigError(
            f"{said[0]} says how to learn, and effort seconds does not: choose --effort minutes, "
            "or leave it out"
        )
    if how.effort != SECONDS and context.params["uint8_input"]:
        raise ConfigError(
            f"--uint8-input: effort {how.effort} learns on pictures of floats, and this network "
            "would take bytes: leave out one of them"
        )
    return {name: context.params[name] for name in (*_WHERE, *_SHOWN)}


def beside_a_plan(context: typer.Context) -> list[str]:
    """Return which options stand on the command line that a plan decides."""
    names = [name for name in groups.QUANTIZATION if name not in (*_WHERE, *_SHOWN)]
    return options.given(context, names)
