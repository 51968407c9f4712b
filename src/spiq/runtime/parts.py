"""A large network in the runtime, a part at a time.

Opened as a whole, a network of gigabytes is in memory two or three times: as its message, as the
runtime's weights, and once more in the order that its kernels want. Here nodes are taken in their
order, as many as multiply by ``PART`` bytes of weights; each such part is opened by itself, shown
all inputs, and closed, and only what later parts read of its tensors is kept. Without
optimization, as the float network is run here, that gives the same numbers.

In a quantized network a cut goes where integers are stored, or between operators in float, so that
the runtime fuses what it would fuse; what makes numbers of integers is repeated in each part that
reads it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from spiq.graph.lazy import forget, is_lazy
from spiq.graph.skeleton import skeleton
from spiq.runtime.opened import Arrays, Port, Tensors
from spiq.runtime.session import call, session

PART = 1 << 27
"""Bytes of weights to a part."""

_TYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.BOOL: "bool",
    onnx.TensorProto.DOUBLE: "double",
    onnx.TensorProto.FLOAT16: "float16",
}
"""What the runtime calls types."""

_UNCUT = ("Sequence", "Optional", "SplitToSequence")
"""How operators begin whose results are no tensors."""


def is_parted(model: ir.Model) -> bool:
    """Return whether a network is so large that the runtime gets it in parts."""
    return any(map(is_lazy, model.graph.initializers.values()))


@dataclass
class _Port:
    """An input or output, as the runtime would describe it."""

    name: str
    type: str
    shape: list[Any]


@dataclass(frozen=True)
class Part:
    """Nodes that follow one another.

    Attributes:
        nodes: The nodes.
        reads: What they read that they do not write, weights included.
        gives: What they write that is read later, or wanted.
    """

    nodes: tuple[onnx.NodeProto, ...]
    reads: tuple[str, ...]
    gives: tuple[str, ...]


@dataclass(frozen=True)
class Parted:
    """A network to be run in parts.

    Attributes:
        proto: The network, its large weights inputs.
        weights: They, by name.
        wanted: Tensors to be seen; outputs of the network, or others inside it.
        size: Bytes of weights to a part.
    """

    proto: onnx.ModelProto
    weights: Mapping[str, ir.TensorProtocol]
    wanted: tuple[str, ...]
    size: int

    def get_inputs(self) -> Sequence[Port]:
        """Return the inputs, in order."""
        return [_port(info) for info in self.proto.graph.input if info.name not in self.weights]

    def get_outputs(self) -> Sequence[Port]:
        """Return the outputs, in order."""
        return [_port(info) for info in self.proto.graph.output]

    def through(self, feeds: Iterable[Tensors]) -> Iterator[tuple[int, Tensors]]:
        """Yield the number of an input, and what is wanted and found of it, part by part."""
        alive = [dict(given) for given in feeds]
        for number, found in enumerate(alive):
            yield number, {name: found[name] for name in self.wanted if name in found}
        for place, part in enumerate(self.parts):
            content = self.opened(part, alive[0]).SerializeToString()
            opened = session(content, optimize=False, lean=True)
            weights = {n: self.weights[n].numpy() for n in part.reads if n in self.weights}
            for number, tensors in enumerate(alive):
                given = {n: tensors[n] for n in part.reads if n in tensors} | weights
                results = call(opened, part.gives, given, where="the network")
                made = dict(zip(part.gives, results, strict=True))
                yield number, {name: made[name] for name in self.wanted if name in made}
                tensors.update(made)
            del weights
            forget()
            drop(alive, self.parts[place + 1 :])

    def outputs(self, feeds: Iterable[Tensors]) -> list[Tensors]:
        """Return what is wanted of each input, by name."""
        given = list(feeds)
        results: list[Tensors] = [{} for _ in given]
        for number, found in self.through(given):
            results[number].update(found)
        return [{name: one[name] for name in self.wanted} for one in results]

    def run(self, names: Sequence[str] | None, feeds: Arrays) -> list[Any]:
        """Return the tensors that are named, or all that are wanted, as a session does."""
        (found,) = self.outputs([dict(feeds)])
        return [found[name] for name in names or self.wanted]

    @cached_property
    def parts(self) -> list[Part]:
        """The network, cut; what nothing that is wanted depends on is left out."""
        nodes = leading_to(self.wanted, self.proto.graph)
        uncut = any(node.op_type.startswith(_UNCUT) for node in nodes)
        sizes = {name: tensor.nbytes for name, tensor in self.weights.items()}
        groups = [nodes] if uncut else list(_grouped(nodes, sizes, self.size, self.wanted))
        return _linked(groups, self.proto.graph, self.wanted)

    def opened(self, part: Part, tensors: Tensors) -> onnx.ModelProto:
        """Return the model of a part, its large weights inputs as what ``tensors`` feeds it is."""
        graph, read = self.proto.graph, set(part.reads)
        infos = [info for info in graph.input if info.name in read and info.name not in tensors]
        return part_of(self.proto, part, infos, tensors)


def parted(
    model: ir.Model, wanted: Iterable[str] | None = None, *, size: int | None = None
) -> Parted:
    """Return a network to be run in parts; it may be changed meanwhile.

    Args:
        model: The network.
        wanted: Tensors to be seen; None for its outputs.
        size: Bytes of weights to a part; by default ``PART``.
    """
    proto = skeleton(model)
    tensors = {
        name: value.const_value
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
    }
    large = {info.name for info in proto.graph.input} & tensors.keys()
    names = [str(value.name) for value in model.graph.outputs] if wanted is None else wanted
    return Parted(proto, {name: tensors[name] for name in large}, tuple(names), size or PART)


def drop(alive: Iterable[Tensors], parts: Iterable[Part]) -> None:
    """Let go of what the parts to come do not read, in place."""
    later = {name for part in parts for name in part.reads}
    for tensors in alive:
        for name in tensors.keys() - later:
            del tensors[name]


def part_of(
    proto: onnx.ModelProto, part: Part, inputs: Iterable[onnx.ValueInfoProto], tensors: Tensors
) -> onnx.ModelProto:
    """Return the model of a part.

    Args:
        proto: The network without its large weights.
        part: The part.
        inputs: Those that are described.
        tensors: Those that are not: what was made of a picture before.
    """
    made = onnx.ModelProto(ir_version=proto.ir_version, functions=proto.functions)
    made.opset_import.extend(proto.opset_import)
    made.graph.name = proto.graph.name or "part"
    made.graph.node.extend(part.nodes)
    read = set(part.reads)
    made.graph.initializer.extend(t for t in proto.graph.initializer if t.name in read)
    made.graph.input.extend(inputs)
    made.graph.input.extend(_info(name, tensors[name]) for name in part.reads if name in tensors)
    made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in part.gives)
    return made


def _info(name: str, array: npt.NDArray[np.generic]) -> onnx.ValueInfoProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    return onnx.helper.make_tensor_value_info(name, kind, [None] * array.ndim)


def reads_of(node: onnx.NodeProto) -> set[str]:
    """Return the names that a node and its subgraphs read."""
    graphs = [g for a in node.attribute for g in (*a.graphs, *([a.g] if a.HasField("g") else []))]
    inside = [inner for graph in graphs for inner in graph.node]
    results = (output.name for graph in graphs for output in graph.output)
    return {name for name in node.input if name}.union(results, *map(reads_of, inside))


def leading_to(wanted: Iterable[str], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that some tensors depend on, in their order."""
    needed, kept = set(wanted), list[onnx.NodeProto]()
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= reads_of(node)
    return kept[::-1]


def _grouped(
    nodes: Sequence[onnx.NodeProto], sizes: Mapping[str, int], most: int, wanted: Iterable[str]
) -> Iterator[list[onnx.NodeProto]]:
    """Yield nodes in groups of ``most`` bytes of weights, or more where they cannot be cut."""
    back = {node.output[0]: node for node in nodes if node.op_type == _REPEATED}
    repeated, last = back.keys() - set(wanted), _last_readers(nodes)
    group, held, total, tied = list[onnx.NodeProto](), set[str](), 0, set[str]()
    for node in nodes:
        if node.output[0] in repeated:
            continue
        above = [back[name] for name in node.input if name in repeated]
        own = set().union(*map(reads_of, (node, *above))) & sizes.keys() - held
        size = sum(sizes[name] for name in own)
        if group and size and total + size > most and not tied:
            yield group
            group, held, total = [], set(), 0
        group += [one for one in above if all(one is not other for other in group)]
        group.append(node)
        held |= own
        total += size
        tied |= set(node.output) & last.keys()
        tied -= {name for name in tied if last[name] is node}
    yield group


_REPEATED = "DequantizeLinear"


def _last_readers(nodes: Sequence[onnx.NodeProto]) -> dict[str, onnx.NodeProto]:
    """Return the last reader of each tensor that no cut may part from it.

    What is about to be stored, or is after an activation: the runtime fuses what makes it with
    that.
    """
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found: dict[str, onnx.NodeProto] = {}
    for node in reversed(nodes):
        for name in node.output:
            for reader in readers.get(name, ()):
                if reader.op_type == "QuantizeLinear" or (
                    reader.op_type in _ACTIVATIONS and reader.output[0] in found
                ):
                    found[name] = readers[name][-1]
    return found


_ACTIVATIONS = frozenset({"Relu", "Clip", "LeakyRelu", "Mul"})


def _linked(
    groups: Sequence[Sequence[onnx.NodeProto]], graph: onnx.GraphProto, wanted: Iterable[str]
) -> list[Part]:
    """Return the groups with what each reads and gives."""
    parts, later = list[Part](), set(wanted)
    known = {entry.name for entry in (*graph.input, *graph.initializer)}
    written = {name for group in groups for node in group for name in node.output}
    for group in reversed(groups):
        own = {name for node in group for name in node.output}
        reads = set().union(*map(reads_of, group)) & (known | written) - own
        parts.append(Part(tuple(group), tuple(sorted(reads)), tuple(sorted(own & later))))
        later = later | reads
    return parts[::-1]


def _port(info: onnx.ValueInfoProto) -> _Port:
    kind = info.type.tensor_type
    shape = [
        size.dim_value if size.HasField("dim_value") else size.dim_param or None
        for size in kind.shape.dim
    ]
    return _Port(info.name, f"tensor({_TYPES.get(kind.elem_type, 'float')})", shape)
