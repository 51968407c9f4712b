"""Options that several commands share, and what their text means."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiq.cli import texts
from spiq.config import SECONDS
from spiq.errors import ConfigError
from spiq.methods import METHODS
from spiq.targets import TARGETS

if TYPE_CHECKING:
    from spiq.config import Config
    from spiq.input_values import InputValues

Model = Annotated[
    Path, typer.Argument(metavar="MODEL.onnx", help="- reads it from stdin.", show_default=False)
]
Models = Annotated[
    list[Path],
    typer.Argument(metavar="MODEL.onnx...", help="- reads one from stdin.", show_default=False),
]

AllowImport = Annotated[
    bool,
    typer.Option("--allow-import", help="Let MODEL be package.module:function, and run its code."),
]

Timing = Annotated[
    bool | None,
    typer.Option(
        "--timing/--no-timing",
        help="Time the result, and give back to float what is faster there, on this machine "
        "(the default).",
        show_default=False,
    ),
]

Prefer = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="speed, balanced or accuracy: how much time, 0, 3 or 30 %, may go to layers in float "
        "that lose most on integers.",
    ),
]

Force = Annotated[
    bool, typer.Option("--force", help="Replace what is there, the model that is read included.")
]

Runtimes = Annotated[
    str,
    typer.Option(
        metavar="NAME[,NAME]",
        help="onnxruntime, openvino or both; the latter is the extra spiq[openvino].",
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]

Method = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"One of {', '.join(METHODS)}; all but the first are there to compare with.",
    ),
]
WeightBits = Annotated[int, typer.Option(metavar="2..8")]
ActivationBits = Annotated[
    int, typer.Option(metavar="3..8|16", help="16 only where the target has them: qnn.")
]
FirstLastBits = Annotated[
    int | None,
    typer.Option(metavar="3..8", help="Of the first and last layers and what they read."),
]
BitsPerWeight = Annotated[
    float | None,
    typer.Option(metavar="2..8", help="On average, such as 4.5: each layer gets what it needs."),
]
MaxBytes = Annotated[
    str | None,
    typer.Option(metavar="N", help="For all weights, packed to their bits: 250k, 1.5M."),
]
Target = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"The runtime, one of {', '.join(TARGETS)}, or auto: ONNX Runtime on this machine's "
        "CPU.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Keep layers of that name in float; repeatable."),
]
ExcludeType = Annotated[
    list[str] | None,
    typer.Option(metavar="TYPE", help="Keep operators of that type in float; repeatable."),
]
ExcludeBetween = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FROM,TO",
        help="Keep all between two tensors or operators in float; repeatable.",
    ),
]
InputRange = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]LOW,HIGH",
        help="Range of the input: once, or once per channel (or l0,h0,l1,h1). NAME= is for one of "
        "several inputs.",
    ),
]
InputMean = Annotated[
    list[str] | None,
    typer.Option(metavar="[NAME=]M[,M...]", help="Mean of the preprocessing (x - mean) / std."),
]
InputStd = Annotated[
    list[str] | None,
    typer.Option(metavar="[NAME=]S[,S...]", help="Its std. Below 1: pixels are 0..1, else 0..255."),
]
InputSize = Annotated[
    str | None,
    typer.Option(
        metavar="N|H,W",
        help="Height and width of the input where they are not fixed. Default: 320 to observe.",
        show_default=False,
    ),
]

InputOrder = Annotated[
    str, typer.Option(metavar="RGB|BGR", help="Order of the input's colours; for --images.")
]
Images = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR|NPZ",
        help="A few images without labels: files, or an array 'images'; ten help much.",
        show_default=False,
    ),
]
Card = Annotated[
    Path | None,
    typer.Option(
        metavar="CARD.toml",
        help="Take the input's range and order of colours from a task card.",
        show_default=False,
    ),
]


Outside = Annotated[
    bool, typer.Option("--outside", help="Let the card name files outside its folder.")
]


def config(context: typer.Context) -> "Config":
    """Return what the options of a quantization say, as they stand in a command's context.

    Raises:
        ConfigError: They make no sense.
    """
    from spiq.config import Config

    options = context.params
    seen_as = preprocessing(context)
    return Config(
        method=options["method"],
        target=options["target"],
        weight_bits=options["weight_bits"],
        activation_bits=options["activation_bits"],
        first_last_bits=options["first_last_bits"],
        bits_per_weight=options["bits_per_weight"],
        max_bytes=texts.size("--max-bytes", options["max_bytes"]),
        exclude=tuple(options["exclude"] or ()),
        exclude_type=tuple(options["exclude_type"] or ()),
        exclude_between=texts.pairs("--exclude-between", options["exclude_between"]),
        input_range=seen_as.input_range,
        input_mean=seen_as.input_mean,
        input_std=seen_as.input_std,
        inputs=seen_as.inputs,
        input_size=texts.extent(options["input_size"]),
        input_order=seen_as.input_order,
        images=options["images"],
        prefer=options.get("prefer", "balanced"),
        effort=options.get("effort", SECONDS),
        device=options.get("device", "auto"),
        seed=options.get("seed", 0),
        keep_pictures=options.get("keep_pictures"),
        **({} if options.get("timing") is None else {"timing": options["timing"]}),
    )


def looked_at(context: typer.Context) -> "Config":
    """Return what the options say of the network and of what stays in float; nothing of bits.

    Raises:
        ConfigError: They make no sense.
    """
    options = context.params
    return replace(
        preprocessing(context),
        target=options["target"],
        exclude=tuple(options["exclude"] or ()),
        exclude_type=tuple(options["exclude_type"] or ()),
        exclude_between=texts.pairs("--exclude-between", options["exclude_between"]),
        input_size=texts.extent(options["input_size"]),
        images=options["images"],
    )


_PREPROCESSING = ("input_range", "input_mean", "input_std", "input_order")


def preprocessing(context: typer.Context) -> "Config":
    """Return what a command's options, or the card that they name, say of the input; no more.

    Raises:
        ConfigError: They make no sense, or both do.
        CardError: The card cannot be read.
    """
    from spiq.config import Config

    options = context.params
    if options["card"] is None:
        values = _values(options)
        own = values.pop("", None)
        return Config(
            **(vars(own) if own else {}), inputs=values, input_order=options["input_order"]
        )
    if said := given(context, _PREPROCESSING):
        raise ConfigError(f"--card says what the input is, and so does {said[0]}: leave one out")
    from spiq.evaluation.cards.read import read
    from spiq.evaluation.data.preprocess import input_range

    card = read(options["card"], outside=True)  # none of its files is opened
    order = "BGR" if card.input.channels == "BGR" else "RGB"
    return Config(input_range=input_range(card.input), input_order=order)


def _values(options: dict[str, Any]) -> "dict[str, InputValues]":
    """Return what the options say of each input, by name; "": of all others."""
    from spiq.input_values import InputValues

    by_name: dict[str, dict[str, list[str]]] = {}
    for key in ("input_range", "input_mean", "input_std"):
        for text in options[key] or ():
            name, _, rest = text.rpartition("=")
            by_name.setdefault(name, {}).setdefault(key, []).append(rest)
    return {
        name: InputValues(
            input_range=texts.ranges("--input-range", said.get("input_range")),
            input_mean=_once("--input-mean", said.get("input_mean")),
            input_std=_once("--input-std", said.get("input_std")),
        )
        for name, said in by_name.items()
    }


def _once(option: str, given: list[str] | None) -> tuple[float, ...] | None:
    if given is not None and len(given) > 1:
        raise ConfigError(
            f"{option} is given {len(given)} times: write one number per channel, such as "
            "0.5,0.5,0.5, or NAME= for one of several inputs"
        )
    return texts.numbers(option, given[0] if given else None)


def given(context: typer.Context, names: Collection[str]) -> list[str]:
    """Return which of these options stand on the command line, as they are written there."""
    return [
        max(parameter.opts, key=len)
        for parameter in context.command.params
        if parameter.name in names
        and getattr(context.get_parameter_source(parameter.name), "name", "") == "COMMANDLINE"
    ]
