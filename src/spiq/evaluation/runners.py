"""Networks that are ready to run on a card's images."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from spiq.errors import CardError, ConfigError, ModelError
from spiq.evaluation.cards.read import Card
from spiq.runtime.session import call, session

Floats = npt.NDArray[np.float32]
Model = str | os.PathLike[str] | bytes

SHAPES = {
    "classification": "(images, classes)",
    "segmentation": "(images, channels, height, width)",
}
"""What a network of each task with one output gives."""


@dataclass(kw_only=True)
class Runner:
    """A network, and how long it has run."""

    name: str
    session: ort.InferenceSession
    input: str
    outputs: tuple[str, ...]
    batch: int | None
    """The batch size that the network fixes; None: any."""
    seconds: float = 0.0

    def run(self, inputs: Floats) -> list[Floats]:
        """Run one batch, which is filled up to the batch size that the network fixes.

        Raises:
            ModelError: The network fails, or gives outputs that are not one row per image.
        """
        count = len(inputs)
        if self.batch is not None and count < self.batch:
            filling = np.repeat(inputs[-1:], self.batch - count, axis=0)
            inputs = np.concatenate([inputs, filling])
        begin = time.perf_counter()
        given: list[Floats] = call(
            self.session, self.outputs, {self.input: inputs}, where=self.name
        )
        self.seconds += time.perf_counter() - begin
        for output in given:
            if output.ndim < 2 or len(output) != len(inputs):
                raise ModelError(
                    f"{self.name}: {len(inputs)} images give an output of shape "
                    f"{shape_text(output.shape)}, which is not one row for each image"
                )
        return [output[:count] for output in given]


def open_all(models: Sequence[Model], card: Card, *, threads: int = 0) -> list[Runner]:
    """Open ``models`` for the images of ``card``.

    A detection network's outputs are all read; of other networks the only one, or the one that the
    card names.

    Raises:
        ModelError: A network cannot be loaded or its inputs or outputs are of another kind.
        CardError: The card's input size or output name is not the network's.
        ConfigError: No network is given.
    """
    if not models:
        raise ConfigError("no network to evaluate: give at least one")
    return [_open(model, i, card, threads) for i, model in enumerate(models)]


def batch_size(runners: Sequence[Runner], batch: int) -> int:
    """The batch size that a network fixes, else ``batch``.

    Raises:
        ConfigError: Networks fix different ones, or ``batch`` is below 1.
    """
    if batch < 1:
        raise ConfigError(f"batch is {batch}: it must be at least 1")
    fixed = {runner.batch: runner.name for runner in runners if runner.batch is not None}
    if len(fixed) > 1:
        sizes = ", ".join(f"{name}: {size}" for size, name in fixed.items())
        raise ConfigError(f"the networks fix different batch sizes ({sizes}): evaluate them apart")
    return min(fixed, default=batch)


def shape_text(shape: Sequence[Any]) -> str:
    """A shape or other values in parentheses."""
    return f"({', '.join(map(str, shape))})"


def _open(model: Model, index: int, card: Card, threads: int) -> Runner:
    name = f"model {index + 1}" if isinstance(model, bytes) else os.fspath(model)
    opened = session(model, threads=threads)
    inputs = opened.get_inputs()
    outputs = _outputs(name, opened, card)
    if [value.type for value in (*inputs, *outputs)] != ["tensor(float)"] * (1 + len(outputs)):
        raise ModelError(
            f"{name}: its inputs are {shape_text([value.type for value in inputs])} and its "
            f"outputs {shape_text([value.type for value in outputs])}; a {card.task} network has "
            "one input, the images, and all are tensor(float)"
        )
    shape = inputs[0].shape
    wanted = ("N", *card.input.shape)
    if len(shape) != 4 or any(
        isinstance(have, int) and have != want
        for have, want in zip(shape[1:], wanted[1:], strict=True)
    ):
        raise CardError(
            f"{name}: its input {inputs[0].name!r} has shape {shape_text(shape)}, "
            f"but {card.path} says {shape_text(wanted)}: the card belongs to another network"
        )
    return Runner(
        name=name,
        session=opened,
        input=inputs[0].name,
        outputs=tuple(value.name for value in outputs),
        batch=shape[0] if isinstance(shape[0], int) else None,
    )


def _outputs(name: str, opened: ort.InferenceSession, card: Card) -> list[ort.NodeArg]:
    outputs: list[ort.NodeArg] = list(opened.get_outputs())
    names = ", ".join(repr(value.name) for value in outputs)
    if card.decode.output:
        named = [value for value in outputs if value.name == card.decode.output]
        if not named:
            raise CardError(
                f"{name}: it has no output {card.decode.output!r}, which {card.path} names; "
                f"it has {names}"
            )
        return named
    if len(outputs) != 1 and card.task in SHAPES:
        raise CardError(
            f"{name}: it has {len(outputs)} outputs ({names}): say in {card.path}, [decode] "
            f"output, which one is {SHAPES[card.task]}"
        )
    return outputs
