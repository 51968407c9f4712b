"""One node of a graph, ready to be computed: operator, names, attributes as Python values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch

from spiq.errors import UnsupportedError

Given = Sequence[Any]
"""The tensors that a node reads, None where an optional one is left out."""


@dataclass(frozen=True)
class Step:
    """A node.

    Attributes:
        operator: Its operator.
        name: Its name.
        inputs: Names of what it reads, None where an optional input is left out.
        outputs: Names of what it writes.
        attributes: Its attributes; tensors as ``torch.Tensor``.
        rounded: How numbers are rounded to integers: to nearest, or that with a gradient of 1.
    """

    operator: str
    name: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    rounded: Callable[[torch.Tensor], torch.Tensor]

    def get(self, name: str, default: Any) -> Any:
        """Return an attribute, or the default where there is none."""
        return self.attributes.get(name, default)

    def refuse(self, why: str) -> UnsupportedError:
        """Return the error that says what of this node PyTorch does not compute here."""
        return UnsupportedError(
            f"{self.operator} '{self.name}' is not emulated in PyTorch: {why}: use ONNX Runtime "
            "(result.run(), effort seconds)"
        )


Compute = Callable[[Step, Given], Any]
"""Computes a node: one tensor, or a sequence of as many as the node has outputs."""


def step_of(node: ir.Node, rounded: Callable[[torch.Tensor], torch.Tensor]) -> Step:
    """Return the step that a node is."""
    return Step(
        node.op_type,
        str(node.name or node.outputs[0].name),
        tuple(None if value is None else str(value.name) for value in node.inputs),
        tuple(str(value.name) for value in node.outputs),
        {name: _plain(attribute) for name, attribute in node.attributes.items()},
        rounded,
    )


def _plain(attribute: ir.Attr) -> Any:
    if attribute.type == ir.AttributeType.TENSOR:
        return tensor_of(attribute.as_tensor())
    value = attribute.value
    if isinstance(value, bytes):
        return value.decode()
    return list(value) if isinstance(value, tuple) else value


def tensor_of(held: ir.TensorProtocol) -> torch.Tensor:
    """Return a constant of the graph as a tensor of its own."""
    return torch.tensor(held.numpy())


def optional(given: Given, place: int) -> Any:
    """Return an input that may be left out."""
    return given[place] if place < len(given) else None


def numbers(tensor: torch.Tensor) -> list[int]:
    """Return the integers of a shape, of axes and the like."""
    return [int(number) for number in tensor.reshape(-1).tolist()]


def setting(step: Step, given: Given, name: str, place: int) -> list[int] | None:
    """Return integers that are an attribute in older opsets and an input in newer ones."""
    held = optional(given, place)
    if held is not None:
        return numbers(held)
    found = step.get(name, None)
    return None if found is None else [int(number) for number in found]
