"""A card from a network and its data, and what was guessed on the way.

The task is what the folder and the outputs can both be; sizes are those of the input; how pictures
get there is the custom of the task. Mean and std are the likeliest ones by the network's file
(:mod:`spiq.stats.inputs.evidence`); those that it leaves in the running, with either order of
channels, are tried on a few images, and the one with the best figures is taken
(:mod:`spiq.evaluation.guess.trial`).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spiq.errors import ConfigError
from spiq.evaluation.guess import decode, preprocessing, trial
from spiq.evaluation.guess import folder as folders
from spiq.evaluation.guess import network as networks
from spiq.evaluation.guess.values import Folder, Network, Size

Table = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Guessed:
    """A card, and what it rests on."""

    text: str
    """The card as TOML."""
    said: tuple[str, ...]
    """What was guessed, and from what, a line each."""
    warnings: tuple[str, ...] = ()
    """What is likely to be wrong, a line each."""


def guess(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    where: str | os.PathLike[str],
    task: str | None,
    split: str | None,
    size: Size | None,
) -> Guessed:
    """Write a card for ``model`` on ``data``.

    Args:
        model: Path of an ONNX file.
        data: A folder, or a file that is or lists a data set.
        where: Where the card is going to be: paths in it are relative to that.
        task: classification, detection or segmentation; None: what both can be.
        split: The part of the data to measure on; None: one that is there.
        size: Width and height of the input where the network leaves them open.

    Raises:
        ConfigError: The data are nothing that is known, or the network is for something else.
        ModelError: The network cannot be read or run.
        CardError: A file of the data set cannot be read.
    """
    folder, network = folders.look(data, split), networks.look(model, size)
    table = _table(_task(task, folder, network), folder, network, size, Path(where))
    found = trial.best(table, network, Path(where))
    table["input"] |= found.way.keys

    said = (*_said(table, folder, network, found), *found.said)
    doubts = [*_doubts(table, folder), *filter(None, [found.doubt])]
    return Guessed(text=_toml(table, said), said=said, warnings=tuple(doubts))


def _table(task: str, folder: Folder, network: Network, size: Size | None, where: Path) -> Table:
    """The card without what the numbers of the input are."""
    width, height = size = network.size or size or network.tried
    return {
        "name": network.path.stem,
        "task": task,
        "dataset": _dataset(folder, where),
        "input": {"width": width, "height": height},
        "preprocess": preprocessing.resizing(task, size, folder),
        "decode": decode.decoding(task, network, folder),
    }


def _task(told: str | None, folder: Folder, network: Network) -> str:
    answers = decode.tasks(network)
    both = [name for name in ([told] if told else folder.tasks) if name in folder.tasks]
    fitting = [name for name in both if name in answers]
    if fitting:
        return fitting[0]
    raise ConfigError(
        f"{folder.dir}: {folder.why} is for {' or '.join(folder.tasks)}, but {network.path} "
        f"answers like {' or '.join(answers)}"
        + (f", and --task says {told}" if told else "")
        + ": it takes data and a network for the same task"
    )


def _dataset(folder: Folder, where: Path) -> Table:
    home, root = where.resolve().parent, folder.dir.resolve()
    near = root.is_relative_to(home)
    named = root.relative_to(home).as_posix() if near else str(root)
    return {
        "dir": named, "layout": folder.layout, **folder.keys, **({} if near else {"outside": True})
    }  # fmt: skip


def _said(table: Table, folder: Folder, network: Network, found: trial.Found) -> tuple[str, ...]:
    """What was guessed from what, a line each."""
    shapes = ", ".join(str(list(shape)) for shape in network.outputs.values())
    spec, decoded, how = table["input"], table["decode"], table["preprocess"]
    keys = "".join(f", {key} = {value}" for key, value in folder.keys.items())
    fixed = "as the network fixes it" if network.size else "the network leaves it open"
    lines = [
        f"task: {table['task']}, since the network answers {shapes}",
        f"data: layout {folder.layout}{keys}, since {folder.dir} has {folder.why}",
        f"input: {spec['width']}x{spec['height']}, {fixed}",
        f"values: {found.way.name}, {'the best of several' if found.decided else 'the likeliest'}",
    ]
    if how:
        lines.append(f"pictures: resize {how['resize']}, the custom of {table['task']}")
    names = ", named by the network's file" if "class_names" in decoded else ""
    lines.append(f"outputs: {decoded['kind']}, {decoded['classes']} classes{names}")
    return tuple(lines)


def _doubts(table: Table, folder: Folder) -> list[str]:
    classes, names = table["decode"]["classes"], folder.names
    listed = table["decode"].get("class_names", ())
    if folder.layout not in ("imagenet", "yolo", "coco", "cityscapes") or set(names) <= set(listed):
        return []
    if names and len(names) != classes:
        return [
            f"{folder.dir} has {len(names)} classes, but the network {classes}: say which is which "
            "by [dataset] class_list or [decode] class_names"
        ]
    numbers = [name for name in names if name.isdigit()]
    if not folder.ordered and len(numbers) == len(names) and _misordered(numbers):
        return [
            f"{folder.dir}: its folders are numbers, but sorted as text, as torchvision does: "
            f"{', '.join(names[:4])}: list them in the network's order with [dataset] class_list "
            "if it learned them otherwise"
        ]
    return []


def _misordered(numbers: list[str]) -> bool:
    return sorted(numbers, key=int) != list(numbers)


def _toml(table: Table, said: tuple[str, ...]) -> str:
    lines = [
        "# A task card that `spiq card init` guessed. Every key: docs/cards.md. Check it with",
        "# `spiq card check CARD.toml --model MODEL.onnx`.",
        "#",
        *(f"# {line}" for line in said),
        "",
    ]
    lines += [f"{key} = {_value(value)}" for key, value in table.items() if not _is_table(value)]
    for section, content in table.items():
        if _is_table(content) and content:
            lines += ["", f"[{section}]"]
            lines += [f"{key} = {_value(value)}" for key, value in content.items()]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False)
