"""The cut: what a network takes by what of it runs on integers, and the choice that takes least.

Each operator runs on integers or in float, and takes what its kernel takes there; a tensor that is
written on one side and read on the other is converted once. The choice that takes the least time
is a minimum cut: integers on the side of the source, float on that of the sink,

    source -> operator    its time in float        operator -> sink    its time on integers
    operator -> a, a -> each reader                the tensor is dequantized
    each reader -> b, b -> operator                the tensor is quantized

where an edge without a time cannot be cut, nor can that of an operator that has to stay in float.
Operators that one kernel does together are one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spiq.planning.choose.structure import Structure
from spiq.planning.placement.components import Ids, components

KEPT = 0.5
"""Part of the weights that stay on integers, largest layers first: a small file is wanted, too."""

_QUANTIZE, _DEQUANTIZE = (9e-6, 0.52e-9), (6e-6, 0.73e-9)
"""Seconds of a conversion, and of each element of it, with what the runtime does to its order: on
23 networks (one core with AMX), by least squares over the kernels of each kind. The result is timed
again, so that what is wrong here costs time at most."""


@dataclass(frozen=True)
class Measured:
    """What operators were measured to take, in seconds, by name; and the elements they write."""

    in_float: Mapping[str, float]
    on_integers: Mapping[str, float]
    elements: Mapping[str, int]


@dataclass(frozen=True)
class _Unit:
    """Operators that one kernel does together."""

    members: tuple[int, ...]
    in_float: float
    on_integers: float
    weights: int
    error: float
    movable: bool


@dataclass(frozen=True)
class _Crossing:
    """A tensor between units: who writes it (None: float), who reads it, and what it holds."""

    producer: int | None
    readers: tuple[int, ...]
    is_output: bool
    elements: int


@dataclass(frozen=True)
class CutNetwork:
    """What the cut is made of; a choice is the set of units that run on integers.

    Attributes:
        part: Of the weights, stays on integers.
    """

    structure: Structure
    units: Sequence[_Unit]
    crossings: Sequence[_Crossing]
    part: float = KEPT

    @property
    def now(self) -> frozenset[int]:
        """What runs on integers so far."""
        return frozenset(number for number, unit in enumerate(self.units) if unit.movable)

    @property
    def kept(self) -> set[int]:
        """What stays on integers: the units with most weights, until they have their part."""
        by_weights = sorted(self.now, key=lambda number: -self.units[number].weights)
        wanted = self.part * sum(self.units[number].weights for number in by_weights)
        kept, have = set(), 0
        for number in by_weights:
            if have >= wanted:
                break
            kept.add(number)
            have += self.units[number].weights
        return kept

    def changed(self, chosen: frozenset[int]) -> list[str]:
        """Return the layers that run on integers so far, and would not."""
        moved = [self.units[number] for number in self.now - chosen]
        members = sorted(member for unit in moved for member in unit.members)
        operators = [self.structure.operators[member] for member in members]
        return [operator.name for operator in operators if operator.is_layer]

    def least(self) -> frozenset[int]:
        """Return the choice that takes the least time of those with one layer on integers."""
        layers = self.changed(frozenset())
        each = (frozenset([number]) for number in sorted(self.now))
        return min((one for one in each if self.changed(one) != layers), key=self.seconds)

    def seconds(self, chosen: frozenset[int]) -> float:
        """Return what the network would take."""
        kernels = (
            unit.on_integers if number in chosen else unit.in_float
            for number, unit in enumerate(self.units)
        )
        return sum(kernels) + sum(_conversions(one, chosen) for one in self.crossings)

    def error(self, chosen: frozenset[int]) -> float:
        """Return what of the error expected so far would be left."""
        total = sum(unit.error for unit in self.units) or 1.0
        return sum(self.units[number].error for number in chosen) / total

    def cut(self, price: float = 0.0) -> frozenset[int]:
        """Return the choice of least time, where all error expected costs ``price`` seconds."""
        import networkx as nx  # type: ignore[import-untyped]  # a fifth of a second

        kept, graph = self.kept, nx.DiGraph()
        graph.add_nodes_from((_INTEGER, _FLOAT))
        for number, unit in enumerate(self.units):
            in_float = {} if number in kept else {"capacity": _whole(unit.in_float)}
            cost = unit.on_integers + price * self.error(frozenset([number]))
            on_integers = {"capacity": _whole(cost)} if unit.movable else {}
            graph.add_edge(_INTEGER, number, **in_float)
            graph.add_edge(number, _FLOAT, **on_integers)
        for number, one in enumerate(self.crossings):
            readers = [*one.readers, *([_FLOAT] if one.is_output else [])]
            writer = _FLOAT if one.producer is None else one.producer
            if one.producer is not None:
                back = _whole(_taken(_DEQUANTIZE, one.elements))
                graph.add_edge(writer, ("a", number), capacity=back)
                graph.add_edges_from((("a", number), reader) for reader in readers)
            stored = _whole(_taken(_QUANTIZE, one.elements))
            graph.add_edge(("b", number), writer, capacity=stored)
            graph.add_edges_from((reader, ("b", number)) for reader in one.readers)
        _, (integers, _) = nx.minimum_cut(graph, _INTEGER, _FLOAT)
        return frozenset(number for number in range(len(self.units)) if number in integers)


_INTEGER, _FLOAT = "integer", "float"


def _whole(seconds: float) -> int:
    """Return nanoseconds: cuts of whole numbers are exact."""
    return round(seconds * 1e9)


def _conversions(one: _Crossing, chosen: frozenset[int]) -> float:
    read_in_float = one.is_output or any(reader not in chosen for reader in one.readers)
    if one.producer in chosen:
        return _taken(_DEQUANTIZE, one.elements) if read_in_float else 0.0
    on_integers = any(reader in chosen for reader in one.readers)
    return _taken(_QUANTIZE, one.elements) if on_integers else 0.0


def _taken(conversion: tuple[float, float], elements: int) -> float:
    return conversion[0] + conversion[1] * elements


def cut_network(structure: Structure, measured: Measured, part: float = KEPT) -> CutNetwork:
    """Return what is to be cut: arguments as for :func:`spiq.planning.choose.give_back.front`."""
    roots = _units(structure, measured)
    members: dict[int, list[int]] = {}
    for number, root in enumerate(roots.tolist()):
        members.setdefault(root, []).append(number)
    unit_of = {root: number for number, root in enumerate(members)}

    units = [_unit(structure, measured, tuple(numbers)) for numbers in members.values()]
    return CutNetwork(
        structure,
        units,
        list(_crossings(structure, measured, [unit_of[root] for root in roots.tolist()])),
        part,
    )


def _unit(structure: Structure, measured: Measured, members: tuple[int, ...]) -> _Unit:
    operators = [structure.operators[member] for member in members]
    in_float = sum(measured.in_float.get(one.name, 0.0) for one in operators)
    on_integers = sum(measured.on_integers.get(one.name, 0.0) for one in operators)
    if any(one.is_layer for one in operators) and not (in_float and on_integers):
        # a kernel whose name tells nothing: neither side is to win by that
        in_float = on_integers = max(in_float, on_integers)
    weights = sum(one.weights for one in operators)
    error = sum(one.error for one in operators)
    movable = all(one.on_integers for one in operators)
    return _Unit(members, in_float, on_integers, weights, error, movable)


def _crossings(
    structure: Structure, measured: Measured, unit_of: Sequence[int]
) -> Iterator[_Crossing]:
    """Yield the tensors that lie between units."""
    for tensor in structure.tensors:
        writer = None if tensor.producer is None else unit_of[tensor.producer]
        readers = tuple({unit_of[reader] for reader in tensor.readers} - {writer})
        if not readers and not tensor.is_output:
            continue
        name = "" if tensor.producer is None else structure.operators[tensor.producer].name
        elements = measured.elements.get(name, tensor.elements or 0)
        yield _Crossing(writer, readers, tensor.is_output, elements)


def _units(structure: Structure, measured: Measured) -> Ids:
    """Return the same number for operators that one kernel does together, in float or on integers.

    In float, an operator that no kernel bears the name of is part of the next one; on integers,
    where kernels bear the names of layers, of the one before.
    """
    operators, readers = structure.operators, dict[int, set[int]]()
    ends = {tensor.producer for tensor in structure.tensors if tensor.is_output}
    for tensor in structure.tensors:
        if tensor.producer is not None:
            readers.setdefault(tensor.producer, set()).update(tensor.readers)
    together = [(number, min(after)) for number, after in readers.items() if len(after) == 1]
    pairs = [
        (first, second)
        for first, second in together
        if first not in ends
        and operators[first].on_integers == operators[second].on_integers
        and (
            operators[first].name not in measured.in_float
            or (
                operators[second].on_integers and operators[second].name not in measured.on_integers
            )
        )
    ]
    ids = np.array(pairs, np.int64).reshape(-1, 2)
    return components(len(operators), [ids[:, 0]], [ids[:, 1]])
