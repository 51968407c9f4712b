"""A prepared network as a program in PyTorch, of which parts are run, in float or quantized.

The same steps are the float network and its quantized form. What differs is a :class:`Form`: it
gives a layer another weight and bias, and what is left of a tensor that is stored as integers.
A stored tensor that a float operator writes is there twice, as it was and as it is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import onnx_ir as ir
import torch

from spiq.emulation.network import asked_for, check
from spiq.emulation.operators import OPERATORS
from spiq.emulation.step import Step, step_of, tensor_of
from spiq.planning.plan.resolve import Resolved

Values = dict[str, torch.Tensor]


class Form(Protocol):
    """What is put in the place of a network's weights and stored tensors."""

    def layer(self, name: str) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return weight and bias of a layer; None for its own."""

    def stored(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Return what is left of a tensor that is stored."""


@dataclass(frozen=True)
class Program:
    """A network.

    Attributes:
        steps: Its operators, in order.
        constants: Its constants, by name, on the device that it runs on; shapes on the CPU.
        inputs: Names of its inputs.
        outputs: Names of its outputs.
        stored: Names of the tensors that are stored.
        on_integers: Names of the operators that read what is stored.
        as_it_was: Names of the stored tensors that float operators write: others of these read
            them so.
        last: Place of the last step that reads each tensor; behind all of them for outputs.
    """

    steps: tuple[Step, ...]
    constants: Mapping[str, torch.Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    stored: frozenset[str]
    on_integers: frozenset[str]
    as_it_was: frozenset[str]
    last: Mapping[str, int]

    def begin(self, given: Mapping[str, torch.Tensor], form: Form | None = None) -> Values:
        """Return what the first step begins with."""
        values: Values = {}
        for name, x in given.items():
            self._write(name, x, values, form)
        return values

    def run(self, part: slice, values: Values, form: Form | None = None) -> None:
        """Run some of the steps: ``values`` holds what they read, and gets what they write."""
        for step in self.steps[part]:
            self.compute(step, self.read(step, values, form), values, form)

    def compute(
        self, step: Step, read: list[torch.Tensor | None], values: Values, form: Form | None = None
    ) -> None:
        """Compute a step from what it reads, and put what it writes into ``values``."""
        found = OPERATORS[step.operator](step, read)
        written = (found,) if isinstance(found, torch.Tensor) else found
        for name, x in zip(step.outputs, written, strict=False):
            self._write(name, x, values, form)

    def read(
        self, step: Step, values: Mapping[str, torch.Tensor], form: Form | None = None
    ) -> list[torch.Tensor | None]:
        """Return what a step reads."""
        own = None if form is None else form.layer(step.name)
        read: list[torch.Tensor | None] = []
        for place, name in enumerate(step.inputs):
            if own is not None and place in (1, 2):
                read.append(own[place - 1])
            elif not name:
                read.append(None)
            elif name in self.constants:
                read.append(self.constants[name])
            else:
                read.append(values[self._key(step, name, form)])
        if own is not None and len(read) == 2 and step.operator != "MatMul":
            read.append(own[1])
        return read

    def keys(self, name: str, form: Form | None) -> tuple[str, ...]:
        """Return under which names a tensor is held in ``values``."""
        if form is None or name not in self.stored:
            return (name,)
        return (kept(name), name) if name in self.as_it_was else (kept(name),)

    def _key(self, step: Step, name: str, form: Form | None) -> str:
        if form is None or name not in self.stored:
            return name
        reads_stored = step.name in self.on_integers or name not in self.as_it_was
        return kept(name) if reads_stored else name

    def _write(self, name: str, x: torch.Tensor, values: Values, form: Form | None) -> None:
        if form is None or name not in self.stored:
            values[name] = x
            return
        if name in self.as_it_was:
            values[name] = x
        values[kept(name)] = form.stored(name, x)


def kept(name: str) -> str:
    """Return the name of what is left of a tensor once it is stored."""
    return f"{name}\0stored"


def program_of(model: ir.Model, resolved: Resolved, device: str) -> Program:
    """Return the program of a prepared network and of what is to be done to it.

    Raises:
        UnsupportedError: PyTorch does not compute an operator of it here; all are named.
    """
    graph = model.graph
    check(graph, "use effort seconds, which needs no PyTorch")
    asked = asked_for(graph)
    constants = {
        name: tensor_of(value.const_value).to("cpu" if name in asked else device)
        for name, value in graph.initializers.items()
        if value.const_value is not None
    }
    written = {str(value.name): str(node.name) for node in graph for value in node.outputs}
    on_grid = {*resolved.integer, *resolved.absorbed}
    stored = frozenset(resolved.tensors)
    steps = tuple(step_of(node, torch.round) for node in graph)
    outputs = tuple(str(value.name) for value in graph.outputs)
    read = ((name, n) for n, step in enumerate(steps) for name in step.inputs if name)
    return Program(
        steps,
        constants,
        tuple(str(value.name) for value in graph.inputs if value.name not in graph.initializers),
        outputs,
        stored,
        frozenset(on_grid | resolved.shortcuts),
        frozenset(name for name in stored if written.get(name) not in on_grid),
        {name: n for name, n in read if name not in constants} | dict.fromkeys(outputs, len(steps)),
    )
