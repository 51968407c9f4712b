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
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from spiq.errors import CardError
from spiq.evaluation.cards import places
from spiq.evaluation.cards.sections import (
    CHANNELS,
    COMMON,
    LAYOUTS,
    SECTIONS,
    Card,
    Dataset,
    Decode,
    Input,
    Preprocess,
    Resize,
)
from spiq.evaluation.files import content

__all__ = ["CHANNELS", "LAYOUTS", "TASKS", "Card", "Dataset", "Decode", "Input", "card_of", "read"]

TASKS: dict[str, str] = {
    "classification": "spiq.evaluation.tasks.classification",
    "detection": "spiq.evaluation.tasks.detection",
    "segmentation": "spiq.evaluation.tasks.segmentation",
}
"""Module of each task, imported when used."""


_LONGEST = 1 << 16
"""Bytes of a card; parsing takes the square of the length of a key."""


def read(path: str | os.PathLike[str], *, outside: bool = False) -> Card:
    """Read the card at ``path``.

    Args:
        path: The file.
        outside: Let it name files outside its folder, as ``outside = true`` in the card does.

    Raises:
        CardError: The file cannot be read, a key is unknown, missing or of the wrong kind, or the
            data set's folder is not there.
    """
    where = Path(path)
    try:
        return card_of(_parsed(where), where, outside=outside)
    except RecursionError as error:  # while it is parsed, or shown in a message
        raise CardError(f"{where}: the tables are nested too deeply: write a flat card") from error


def card_of(table: dict[str, Any], where: Path, *, outside: bool = False) -> Card:
    """The card that says what ``table`` does, and is at ``where``.

    Raises:
        CardError: As for :func:`read`.
    """
    card = _checked(table, where)
    _known((card.task,), TASKS, f"{where}: unknown task")
    card = dataclasses.replace(card, input=_complete(card.input, where))

    _check_kind(card.task, card.decode, where)
    _check_resize(card.preprocess, card.dataset.layout, card.input, where)
    told = dataclasses.replace(card.dataset, outside=outside or card.dataset.outside)
    dataset = dataclasses.replace(told, dir=places.find(told, where))
    places.check(dataset, card.decode, where)
    return dataclasses.replace(card, dataset=dataset)


def _checked(table: dict[str, Any], where: Path) -> Card:
    """The card with all values as its classes say; what is missing has its default."""
    _known(table, {"name", "task", *SECTIONS}, f"{where}: unknown key")
    for key in table.keys() & SECTIONS.keys():
        if not isinstance(table[key], dict):
            raise CardError(f"{where}: {key!r} must be a section, [{key}]")
        _known(table[key], SECTIONS[key], f"{where}: [{key}] has an unknown key")
    try:
        card = TypeAdapter(Card).validate_python({**table, "path": where})
    except ValidationError as error:
        raise CardError(f"{where}: {_problem(error)}") from error
    _check_layout(table["dataset"], card.dataset.layout, card.task, where)
    return card


def _problem(error: ValidationError) -> str:
    """What is wrong with the first value that is; of a union, with each of its kinds."""
    found = error.errors(include_url=False)
    *section, key = place = found[0]["loc"][:2]
    at = "".join(f"[{name}] " for name in section)
    if found[0]["type"] == "missing":
        return f"{at}{key!r} is missing"
    at += f"{key}" + "".join(f"[{i}]" for i in found[0]["loc"][2:] if isinstance(i, int))
    reasons = dict.fromkeys(entry["msg"] for entry in found if entry["loc"][:2] == place)
    said = " or ".join(reasons).replace("Input should", "it must").replace("tuple", "list")
    return f"{at} = {found[0]['input']!r}: {said}"


def _parsed(where: Path) -> dict[str, Any]:
    stored = content(where, "the card")
    if len(stored) > _LONGEST:
        raise CardError(f"{where}: not a card: it has more than {_LONGEST} bytes")
    try:
        return tomllib.loads(stored.decode("utf-8"))
    except ValueError as error:  # also what is not UTF-8
        raise CardError(f"{where}: not a TOML file: {error}") from error


def _known(names: Collection[str], allowed: Collection[str], what: str) -> None:
    for name in names:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            hint = (
                f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(allowed))}"
            )
            raise CardError(f"{what} {name!r}: {hint}")


_KINDS = {"classification": ("argmax",), "segmentation": ("argmax", "threshold")}


def _check_kind(task: str, decode: Decode, where: Path) -> None:
    kinds = _KINDS.get(task)
    if kinds and decode.kind not in kinds:
        has = " and ".join(map(repr, kinds))
        raise CardError(f"{where}: [decode] kind = {decode.kind!r}: {task} has only {has}")
    if (decode.kind == "threshold") != (decode.threshold is not None):
        raise CardError(
            f"{where}: [decode] threshold belongs to kind = 'threshold': give both or neither"
        )


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
            f"{', '.join(get_args(Resize))}"
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
