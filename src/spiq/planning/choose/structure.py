"""How a network hangs together, as plain data that outlives its rewriting.

The kernels that the runtime makes of it bear the names of its operators, or of the tensors that
they write.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from spiq.graph.query import dims
from spiq.planning.placement.values import Placement, is_layer, is_product


@dataclass(frozen=True)
class Operator:
    """An operator of the prepared network.

    Attributes:
        name: Its name.
        on_integers: Whether it runs on integers, or is absorbed.
        is_layer: Whether it can be left in float by name.
        weights: How many it multiplies by.
        error: What it is expected to add at the outputs on integers, beside their signal.
        outputs: Names of what it writes.
    """

    name: str
    on_integers: bool
    is_layer: bool
    weights: int
    error: float
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Tensor:
    """A tensor that lies between operators.

    Attributes:
        producer: Number of the operator that writes it; None for an input of the network.
        readers: Numbers of those that read it.
        is_output: Whether it is an output of the network.
        elements: Of one image; None where a size is open.
    """

    producer: int | None
    readers: tuple[int, ...]
    is_output: bool
    elements: int | None


@dataclass(frozen=True)
class Structure:
    """How a network hangs together, and what of it runs on integers."""

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]


def structure_of(graph: ir.Graph, placement: Placement, errors: Mapping[str, float]) -> Structure:
    """Note how a prepared network hangs together, before it is rewritten.

    Args:
        graph: The network.
        placement: What runs on integers.
        errors: What layers are expected to add at the outputs, by name.
    """
    numbers = {node: number for number, node in enumerate(graph)}
    operators = tuple(
        Operator(
            str(node.name),
            node in placement.integer or node in placement.absorbed,
            node in placement.integer and (is_layer(node) or is_product(node)),
            _weights(node),
            errors.get(str(node.name), 0.0),
            tuple(str(value.name) for value in node.outputs),
        )
        for node in graph
    )
    values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    tensors = tuple(
        Tensor(
            None if (producer := value.producer()) is None else numbers[producer],
            tuple(numbers[node] for node in value.consumers() if node in numbers),
            value.is_graph_output(),
            _elements(value),
        )
        for value in values
    )
    return Structure(operators, tensors)


def _weights(node: ir.Node) -> int:
    return math.prod(dims(node.inputs[1]) or [0]) if is_layer(node) else 0  # type: ignore[arg-type]


def _elements(value: ir.Value) -> int | None:
    shape = dims(value)
    if shape is None or any(size is None for size in shape[1:]):
        return None
    return math.prod(size or 1 for size in shape[1:])


_NUMBERED = re.compile(r"_token_\d+$")
_ENDINGS = re.compile(r"(_bn)?_nchwc$|/[A-Za-z]*Fusion.*$|_(unfolded|below|above)$")
"""What the runtime, and rewriting, add to names of operators or of tensors that they write."""


def owners(structure: Structure, kernels: Iterable[str]) -> dict[str, str]:
    """Return the operator that each kernel is of, both by name.

    Conversions and copies of layout belong to none.
    """
    written = {name: one.name for one in structure.operators for name in one.outputs}
    named = written | {one.name: one.name for one in structure.operators}
    found = {}
    for kernel in kernels:
        plain = _NUMBERED.sub("", kernel)
        owner = named.get(plain) or named.get(_ENDINGS.sub("", plain))
        if owner is not None:
            found[kernel] = owner
    return found
