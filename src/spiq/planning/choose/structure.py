"""How a network hangs together, as plain data that outlives its rewriting.

The kernels that the runtime makes of it bear the names of its operators, or of the tensors that
they write.
"""

import math
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from spiq.graph.query import dims
from spiq.graph.work import elements
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
    """How a network hangs together, and what of it runs on integers.

    Attributes:
        operators: Its operators, in order.
        tensors: What lies between them.
        next_names: For tensors of the network as it was given that one operator reads, the name of
            what that writes: preparing takes operators away, and the runtime may name a kernel
            after one of them.
    """

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    next_names: Mapping[str, str] = field(default_factory=dict)


def structure_of(
    graph: ir.Graph,
    placement: Placement,
    errors: Mapping[str, float],
    next_names: Mapping[str, str],
) -> Structure:
    """Note how a prepared network hangs together, before it is rewritten.

    Args:
        graph: The network.
        placement: What runs on integers.
        errors: What layers are expected to add at the outputs, by name.
        next_names: Those of :class:`spiq.passes.prepare.Prepared`.
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
            elements(value),
        )
        for value in values
    )
    return Structure(operators, tensors, next_names)


def _weights(node: ir.Node) -> int:
    return math.prod(dims(node.inputs[1]) or [0]) if is_layer(node) else 0  # type: ignore[arg-type]


_NUMBERED = re.compile(r"_token_\d+$")
_ENDINGS = re.compile(r"(_bn)?_nchwc$|/[A-Za-z]*Fusion.*$|_(unfolded|below|above)$")
"""What the runtime, and rewriting, add to names of operators or of tensors that they write."""


def owners(structure: Structure, kernels: Iterable[str]) -> dict[str, str]:
    """Return the operator that each kernel is of, both by name.

    Conversions and copies of layout belong to none.
    """
    written = {name: one.name for one in structure.operators for name in one.outputs}
    named = written | {one.name: one.name for one in structure.operators}

    def owner(kernel: str) -> str | None:
        plain = _NUMBERED.sub("", kernel)
        if plain in named:
            return named[plain]
        name = left_of(_ENDINGS.sub("", plain), named, structure.next_names)
        return None if name is None else named[name]

    return {kernel: found for kernel in kernels if (found := owner(kernel)) is not None}


def left_of(name: str, known: Container[str], next_names: Mapping[str, str]) -> str | None:
    """Return what is left of a tensor: itself, or the next one that preparing did not take away.

    Args:
        name: The tensor, as the network was given.
        known: Names of what there is.
        next_names: Those of :class:`spiq.passes.prepare.Prepared`.

    Returns:
        Its name; None where nothing is.
    """
    left: str | None = name
    for _ in range(_GONE):
        if left is None or left in known:
            return left
        left = next_names.get(left)
    return left if left is not None and left in known else None


_GONE = 4
"""Operators in a row that preparing may take away."""
