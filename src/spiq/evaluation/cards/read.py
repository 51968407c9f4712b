"""Task cards: a TOML file that says which images a network is measured on, and how.

    name = "resnet8-cifar10"                # sections, and keys of each, see docs/cards.md
    task = "classification"
    [dataset]
    dir = "cifar10_3000"                    # beside the card, or in data/ of a folder above it
    [input]
    width = 32
    height = 32

Everything that is not known is refused: a misspelt key would silently change what is measured.
"""

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from spiq.errors import CardError
from spiq.evaluation.cards import keys, places
from spiq.evaluation.cards.sections import (
    CHANNELS,
    COMMON,
    LAYOUTS,
    Card,
    Dataset,
    Decode,
    Float32,
    Input,
    Model,
    Preprocess,
    Source,
)
from spiq.evaluation.files import content

__all__ = ["CHANNELS", "LAYOUTS", "TASKS", "Card", "Dataset", "Decode", "Input", "read"]

TASKS: dict[str, str] = {
    "classification": "spiq.evaluation.tasks.classification",
    "detection": "spiq.evaluation.tasks.detection",
    "segmentation": "spiq.evaluation.tasks.segmentation",
}
"""Module of each task, imported when used."""


_LONGEST = 1 << 16
"""Bytes of a card; parsing takes the square of the length of a key."""


def read(path: str | os.PathLike[str]) -> Card:
    """Read the card at ``path``.

    Raises:
        CardError: The file cannot be read, a key is unknown, missing or of the wrong kind, or the
            data set's folder is not there.
    """
    where = Path(path)
    try:
        return _read(where)
    except RecursionError as error:  # while it is parsed, or shown in a message
        raise CardError(f"{where}: the tables are nested too deeply: write a flat card") from error


def _read(where: Path) -> Card:
    table = _parsed(where)
    _known(table, {"name", "task", *keys.SECTIONS}, f"{where}: unknown key")
    for key in ("name", "task", "dataset", "input"):
        if key not in table:
            raise CardError(f"{where}: {key!r} is missing")
    sections: dict[str, Any] = {
        key: _section(table[key], key, where) if key in keys.SECTIONS else _value(table, key, where)
        for key in table
    }
    _known((sections["task"],), TASKS, f"{where}: unknown task")
    sections["input"] = _complete(sections["input"], where)

    dataset, decode = sections["dataset"], sections.get("decode", Decode())
    if sections["task"] != "detection" and decode.kind != "argmax":
        raise CardError(
            f"{where}: [decode] kind = {decode.kind!r}: {sections['task']} has only 'argmax'"
        )
    _check_layout(table["dataset"], dataset.layout, sections["task"], where)
    preprocess = sections.get("preprocess", Preprocess())
    _check_resize(preprocess, dataset.layout, sections["input"], where)

    sections["dataset"] = dataclasses.replace(dataset, dir=places.find(dataset, where))
    places.check(sections["dataset"], decode, where)
    return Card(path=where, **sections)


def _parsed(where: Path) -> dict[str, Any]:
    stored = content(where, "the card")
    if len(stored) > _LONGEST:
        raise CardError(f"{where}: not a card: it has more than {_LONGEST} bytes")
    try:
        return tomllib.loads(stored.decode("utf-8"))
    except ValueError as error:  # also what is not UTF-8
        raise CardError(f"{where}: not a TOML file: {error}") from error


def _section(table: object, key: str, where: Path) -> Any:
    kind, converters = _CLASSES[key], keys.SECTIONS[key]
    if not isinstance(table, dict):
        raise CardError(f"{where}: {key!r} must be a section, [{key}]")
    _known(table, converters, f"{where}: [{key}] has an unknown key")
    for entry in dataclasses.fields(kind):
        required = entry.default is dataclasses.MISSING
        if required and entry.name not in table:
            raise CardError(f"{where}: [{key}] lacks {entry.name!r}")
    values = {}
    for name, value in table.items():
        try:
            values[name] = converters[name](value)
        except ValueError as error:
            raise CardError(f"{where}: [{key}] {name} = {value!r}: it must be {error}") from error
    return kind(**values)


def _value(table: dict[str, Any], key: str, where: Path) -> Any:
    try:
        return keys.line(table[key])
    except ValueError as error:
        raise CardError(f"{where}: {key} = {table[key]!r}: it must be {error}") from error


def _known(names: Collection[str], allowed: Collection[str], what: str) -> None:
    for name in names:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            hint = (
                f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(allowed))}"
            )
            raise CardError(f"{what} {name!r}: {hint}")


def _complete(spec: Input, where: Path) -> Input:
    channels = spec.shape[0]
    if bool(spec.mean) != bool(spec.std):
        raise CardError(f"{where}: [input] mean and std belong together: give both or neither")
    mean, std = spec.mean or (0.0,) * channels, spec.std or (255.0,) * channels
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            raise CardError(
                f"{where}: [input] {name} has {len(values)} values, "
                f"but channels = {spec.channels!r} needs {channels}"
            )
    return dataclasses.replace(spec, mean=mean, std=std)


def _check_layout(table: Collection[str], layout: str, task: str, where: Path) -> None:
    tasks, keys = LAYOUTS[layout]
    if tasks and task not in tasks:
        fitting = [name for name, (other, _) in LAYOUTS.items() if not other or task in other]
        raise CardError(
            f"{where}: [dataset] layout {layout!r} is for {' and '.join(tasks)}, not for {task}: "
            f"choose one of {', '.join(fitting)}"
        )
    for name in table:
        if name not in keys | COMMON:
            raise CardError(
                f"{where}: [dataset] {name!r} means nothing for layout {layout!r}: leave it out"
            )


def _check_resize(spec: Preprocess, layout: str, size: Input, where: Path) -> None:
    if layout == "npz":
        if spec.resize or spec.resize_to:
            raise CardError(
                f"{where}: [preprocess] resize is for image files; arrays of layout 'npz' are "
                "stored in the input's size: leave it out"
            )
        return
    if not spec.resize:
        raise CardError(
            f"{where}: [preprocess] lacks 'resize', how image files get the input's size: "
            f"{', '.join(keys.RESIZE)}"
        )
    if (spec.resize == "shorter") != (spec.resize_to is not None):
        raise CardError(
            f"{where}: [preprocess] resize_to belongs to resize = 'shorter': give both or neither"
        )
    if spec.resize_to is not None and spec.resize_to < min(size.width, size.height):
        raise CardError(
            f"{where}: [preprocess] resize_to = {spec.resize_to} is less than the input's "
            f"{size.width}x{size.height}: the centre cannot be cut out"
        )


_CLASSES: dict[str, Any] = {
    "dataset": Dataset,
    "input": Input,
    "preprocess": Preprocess,
    "decode": Decode,
    "source": Source,
    "float32": Float32,
    "model": Model,
}
