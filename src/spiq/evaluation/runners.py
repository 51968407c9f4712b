"""Networks that are ready to run on a card's images."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spiq.errors import CardError, ConfigError, ModelError
from spiq.evaluation.cards.read import Card
from spiq.evaluation.cards.sections import Input
from spiq.evaluation.data.preprocess import to_pixels
from spiq.runtime.engines import ONNXRUNTIME, Model, named_in, opened_in
from spiq.runtime.opened import Opened, Port
from spiq.runtime.reference import is_number
from spiq.runtime.session import call
from spiq.value_checks import at_least

Floats = npt.NDArray[np.float32]


@dataclass(kw_only=True)
class Runner:
    """A network, and how long it has run."""

    name: str
    session: Opened
    input: str
    outputs: tuple[str, ...]
    batch: int | None
    """The batch size that the network fixes; None: any."""
    half: bool = False
    """Whether it takes floats of half precision."""
    pixels: Input | None = None
    """How pixels became what it is given, where it takes the pixels themselves; None for floats."""
    seconds: float = 0.0

    def run(self, inputs: Floats) -> list[Floats]:
        """Run one batch, which is filled up to the batch size that the network fixes.

        Raises:
            ModelError: The network fails, gives outputs that are not one row per image, or values
                that are not finite.
        """
        count = len(inputs)
        if self.batch is not None and count < self.batch:
            filling = np.repeat(inputs[-1:], self.batch - count, axis=0)
            inputs = np.concatenate([inputs, filling])
        fed, begin = self._fed(inputs), time.perf_counter()
        made = call(self.session, self.outputs, {self.input: fed}, where=self.name)
        self.seconds += time.perf_counter() - begin
        given = [np.asarray(output, np.float32) for output in made]
        for output in given:
            if output.ndim < 2 or len(output) != len(inputs):
                raise ModelError(
                    f"{self.name}: {len(inputs)} images give an output of shape "
                    f"{shape_text(output.shape)}, which is not one row for each image"
                )
        if not all(map(is_number, given)):
            raise ModelError(f"{self.name}: its outputs are not all finite: they say nothing")
        return [output[:count] for output in given]

    def _fed(self, inputs: Floats) -> npt.NDArray[Any]:
        """Return a batch as the network takes it."""
        if self.pixels is not None:
            return to_pixels(inputs, self.pixels)
        return inputs.astype(np.float16) if self.half else inputs


_FLOATS = ("tensor(float)", "tensor(float16)")


def open_all(
    models: Sequence[Model],
    card: Card,
    *,
    gives: str,
    threads: int = 0,
    runtimes: Sequence[str] = (ONNXRUNTIME,),
) -> list[Runner]:
    """Open ``models`` for the images of ``card``.

    Args:
        models: Paths or bytes of ONNX files.
        card: Says what the input is like.
        gives: What the only output that is read is, in words; "": all outputs are read.
        threads: Threads of the runtime; 0 lets it choose.
        runtimes: Names of the runtimes: each network is opened in each of them.

    Raises:
        ModelError: A network cannot be loaded or its inputs or outputs are of another kind.
        CardError: The card's input size or output name is not the network's.
        ConfigError: No network is given.
    """
    if not models:
        raise ConfigError("no network to evaluate: give at least one")
    return [
        _open(name, opened_in(runtime, models[i], threads=threads, name=name), card, gives)
        for i, runtime, name in named_in(runtimes, names(models))
    ]


def names(models: Sequence[Model]) -> list[str]:
    """What each network is called in messages and results."""
    return [
        f"model {i}" if isinstance(model, bytes) else os.fspath(model)
        for i, model in enumerate(models, start=1)
    ]


def batch_size(runners: Sequence[Runner], batch: int) -> int:
    """The batch size that a network fixes, else ``batch``.

    Raises:
        ConfigError: Networks fix different ones, or ``batch`` is below 1.
    """
    at_least(1, batch=batch)
    fixed = {runner.batch: runner.name for runner in runners if runner.batch is not None}
    if len(fixed) > 1:
        sizes = ", ".join(f"{name}: {size}" for size, name in fixed.items())
        raise ConfigError(f"the networks fix different batch sizes ({sizes}): evaluate them apart")
    return min(fixed, default=batch)


def shape_text(shape: Sequence[Any]) -> str:
    """A shape or other values in parentheses."""
    return f"({', '.join(map(str, shape))})"


def fits(shape: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Whether a shape may be the one wanted; what is no number in either is any size."""
    return len(shape) == len(wanted) and all(
        have == want
        for have, want in zip(shape, wanted, strict=True)
        if isinstance(have, int) and isinstance(want, int)
    )


def _open(name: str, opened: Opened, card: Card, gives: str) -> Runner:
    inputs, outputs = opened.get_inputs(), _outputs(name, opened, card, gives)
    takes_pixels = [value.type for value in inputs] == ["tensor(uint8)"]
    floats = outputs if takes_pixels else (*inputs, *outputs)
    if len(inputs) != 1 or any(value.type not in _FLOATS for value in floats):
        raise ModelError(
            f"{name}: its inputs are {shape_text([value.type for value in inputs])} and its "
            f"outputs {shape_text([value.type for value in outputs])}; a {card.task} network has "
            "one input, the images, and all are floats, single or half; or pixels go in, "
            "tensor(uint8)"
        )
    shape, wanted = inputs[0].shape, ("N", *card.input.shape)
    if not fits(shape, wanted):
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
        half=inputs[0].type == _FLOATS[1],
        pixels=card.input if takes_pixels else None,
    )


def _outputs(name: str, opened: Opened, card: Card, gives: str) -> list[Port]:
    outputs: list[Port] = list(opened.get_outputs())
    names = ", ".join(repr(value.name) for value in outputs)
    if card.decode.output:
        named = [value for value in outputs if value.name == card.decode.output]
        if not named:
            raise CardError(
                f"{name}: it has no output {card.decode.output!r}, which {card.path} names; "
                f"it has {names}"
            )
        return named
    if len(outputs) != 1 and gives:
        raise CardError(
            f"{name}: it has {len(outputs)} outputs ({names}): say in {card.path}, [decode] "
            f"output, which one is {gives}"
        )
    return outputs
