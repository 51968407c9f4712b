"""What a network's file says of its task: its input, what it answers to a grey image, its names.

Ultralytics' exporter writes the names of the classes into the file's metadata, ``names``.
"""

import ast
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from spiq.errors import ConfigError, ModelError
from spiq.evaluation.guess.values import Network, Size
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.runtime.session import call, session
from spiq.stats.inputs.conventions import CONVENTIONS, Convention
from spiq.stats.inputs.judge import judge

_USUAL: tuple[Size, ...] = ((224, 224), (640, 640), (320, 320), (512, 512), (32, 32))
"""Tried where a network leaves the size of its input open."""


_NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


def look(model: str | os.PathLike[str], wanted: Size | None = None) -> Network:
    """Look at a network.

    Args:
        model: Path of an ONNX file.
        wanted: Width and height to give it where it leaves them open.

    Raises:
        ModelError: It cannot be read or run.
        ConfigError: Its input is no picture.
    """
    path = Path(model)
    network = read(path)
    value = _picture_input(network, path)
    shape = [size if isinstance(size, int) else None for size in value.shape or ()]
    channels, height, width = shape[1:]
    size = (width, height) if width and height else None
    tried, outputs = _asked(path, str(value.name), channels or 3, size or wanted)
    producer = network.graph.outputs[0].producer()
    return Network(
        path=path,
        channels=channels or 3,
        size=size,
        outputs=outputs,
        tried=tried,
        conventions=_conventions(network, str(value.name)),
        names=_names(network.metadata_props),
        ends_in=producer.op_type if producer else "",
    )


def _picture_input(network: ir.Model, path: Path) -> ir.Value:
    inputs = list(network.graph.inputs)
    shapes = [list(value.shape or ()) for value in inputs]
    told = "write the card by hand: `spiq card init --task TASK` prints one to start from"
    if len(inputs) != 1 or len(shapes[0]) != 4:
        raise ConfigError(
            f"{path}: its inputs are {', '.join(f'{v.name} {list(v.shape or ())}' for v in inputs)}"
            f": a card is for one input of pictures: {told}"
        )
    if inputs[0].dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16):
        raise ConfigError(f"{path}: its input is {inputs[0].dtype}, a card is for floats: {told}")
    if shapes[0][1] not in (1, 3) and shapes[0][3] in (1, 3):
        raise ConfigError(
            f"{path}: its input {shapes[0]} has its channels last: export it with channels first"
        )
    if isinstance(shapes[0][1], int) and shapes[0][1] not in (1, 3):
        raise ConfigError(
            f"{path}: its input has {shapes[0][1]} channels: cards are for pictures, of 1 or 3"
        )
    return inputs[0]


def _asked(
    path: Path, name: str, channels: int, size: Size | None
) -> tuple[Size, dict[str, tuple[int, ...]]]:
    """The shapes of what a network answers to an image, and the image's size."""
    opened = session(path)
    names = [value.name for value in opened.get_outputs()]
    (given,) = opened.get_inputs()
    batch = given.shape[0]
    rows = batch if isinstance(batch, int) else 1
    failed: ModelError | None = None
    for width, height in [size] if size else _USUAL:
        grey = np.full((rows, channels, height, width), 0.5, _NUMBERS[given.type])
        try:
            answers = call(opened, names, {name: grey}, where=str(path))
        except ModelError as error:
            failed = failed or error
            continue
        shapes = {name: each.shape[1:] for name, each in zip(names, answers, strict=True)}
        return (width, height), shapes
    assert failed is not None
    raise failed


def _conventions(network: ir.Model, name: str) -> tuple[Convention, ...]:
    verdict = judge(prepare(network)).get(name)
    if verdict is None:
        return CONVENTIONS
    others = CONVENTIONS if verdict.outlandish else verdict.rivals
    return tuple(dict.fromkeys((verdict.best, *others)))


def _names(metadata: Mapping[str, str]) -> tuple[str, ...]:
    try:
        told = ast.literal_eval(metadata.get("names", ""))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if isinstance(told, dict) and sorted(map(str, told)) == sorted(map(str, range(len(told)))):
        told = [told[key] for key in sorted(told, key=int)]
    if not isinstance(told, list) or not all(isinstance(name, str) for name in told):
        return ()
    return tuple(told) if all(name.isprintable() for name in told) else ()
