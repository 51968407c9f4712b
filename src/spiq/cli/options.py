"""Options that several commands share, and what their text means."""

import math
from pathlib import Path
from typing import Annotated

import typer

from spiq.errors import ConfigError

Model = Annotated[Path, typer.Argument(metavar="MODEL.onnx", show_default=False)]
Models = Annotated[list[Path], typer.Argument(metavar="MODEL.onnx...", show_default=False)]

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]

Target = Annotated[
    str,
    typer.Option(metavar="onnxruntime|portable", help="portable: safe on CPUs without VNNI."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Keep layers of that name in float; repeatable."),
]
InputRange = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LOW,HIGH", help="Range of the input: once, or once per channel (or l0,h0,l1,h1)."
    ),
]
InputMean = Annotated[
    str | None,
    typer.Option(metavar="M[,M...]", help="Mean of the preprocessing (x - mean) / std."),
]
InputStd = Annotated[
    str | None,
    typer.Option(metavar="S[,S...]", help="Its std. Below 1: pixels are 0..1, else 0..255."),
]


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Return numbers separated by commas; None for None.

    Raises:
        ConfigError: One is not a finite number.
    """
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"{option} {text}: give numbers separated by commas, such as 0.5,0.5,0.5"
        ) from error
    if not all(math.isfinite(value) for value in values):
        raise ConfigError(f"{option} {text}: every number must be finite")
    return values


def ranges(option: str, texts: list[str] | None) -> tuple[tuple[float, float], ...] | None:
    """Return pairs of low and high ends; None where nothing is given.

    Raises:
        ConfigError: They are no numbers, or not an even number of them.
    """
    if not texts:
        return None
    ends = [end for text in texts for end in numbers(option, text) or ()]
    if len(ends) % 2:
        raise ConfigError(f"{option} {' '.join(texts)}: give a low and a high end, such as -1,1")
    return tuple(zip(ends[::2], ends[1::2], strict=True))


def shapes(option: str, texts: list[str] | None) -> dict[str, list[int]]:
    """Return shapes by name from texts like ``image=1,3,224,224``.

    Raises:
        ConfigError: A text has another form.
    """
    found = {}
    for text in texts or ():
        name, _, sizes = text.rpartition("=")
        try:
            found[name] = [int(size) for size in sizes.split(",")]
        except ValueError:
            name = ""
        if not name or min(found[name]) < 1:
            raise ConfigError(f"{option} {text}: write it like image=1,3,224,224")
    return found
