"""Find each tensor of a float network in its quantized form, by name.

    reference   v
    other       v -> [Mul, Clip] -> QuantizeLinear -> [Clip, Pad] -> DequantizeLinear -> answer

spiq names what it dequantizes ``v_real`` (in real units) and ``v_dequantized`` (folded: divided by
one scale per channel); for the files of other tools the graph itself is followed. Where ``v`` is
not stored as integers, ``v`` is its own counterpart.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

_MERGED = frozenset({"BatchNormalization", "Relu", "Clip", "Identity", "Dropout", "Flatten",
                     "Reshape", "Squeeze"})  # fmt: skip
"""Operators that may be merged into the layer before them, which then writes their output."""


@dataclass(frozen=True)
class Names:
    """Who writes and who reads each tensor of a graph."""

    writers: Mapping[str, onnx.NodeProto]
    readers: Mapping[str, Sequence[onnx.NodeProto]]
    constants: frozenset[str]


def names(graph: onnx.GraphProto) -> Names:
    """Index a graph by the names of its tensors."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    writers = {name: node for node in graph.node for name in node.output if name}
    constants = {tensor.name for tensor in graph.initializer}
    constants.update(name for name, node in writers.items() if node.op_type == "Constant")
    return Names(writers, readers, frozenset(constants))


def counterparts(reference: Names, other: Names) -> dict[str, str]:
    """Return the name in ``other`` of each tensor of ``reference`` that it has, in order."""
    found = {
        name: counterpart(name, other, reference)
        for name in reference.writers
        if name not in reference.constants
    }
    return {name: match for name, match in found.items() if match is not None}


def counterpart(name: str, other: Names, reference: Names) -> str | None:
    """Return what holds tensor ``name`` in ``other``, as float, or None."""
    for spelled in (f"{name}_real", f"{name}_dequantized"):
        if spelled in other.writers and spelled not in reference.writers:
            return spelled
    return _stored(name, other, reference) or (name if name in other.writers else None)


def unmatched_layers(reference: Names, matched: Collection[str]) -> tuple[str, ...]:
    """Return the outputs of layers that neither match nor lead to what they may be merged with."""
    return tuple(
        node.output[0]
        for name, node in reference.writers.items()
        if node.op_type in LAYERS
        and name == node.output[0]
        and not any(link in matched for link in _chain(name, reference))
    )


def quantizer(name: str, graph: Names) -> tuple[onnx.NodeProto, list[onnx.NodeProto]] | None:
    """Return the QuantizeLinear behind tensor ``name``, and the nodes between them, or None."""
    for node in graph.readers.get(name, ()):
        if node.op_type == "QuantizeLinear" and node.input[0] == name:
            return node, []
    for node in graph.readers.get(name, ()):
        if node.op_type in ("Mul", "Clip") and _only_scales(node, name, graph):
            behind = quantizer(node.output[0], graph)
            if behind is not None:
                return behind[0], [node, *behind[1]]
    return None


def _stored(name: str, other: Names, reference: Names) -> str | None:
    found = quantizer(name, other)
    if found is None or any(node.output[0] in reference.writers for node in found[1]):
        return None
    return _dequantized(found[0].output[0], other)


def _dequantized(name: str, graph: Names) -> str | None:
    for node in graph.readers.get(name, ()):
        if node.op_type == "DequantizeLinear" and node.input[0] == name:
            return str(node.output[0])
    for node in graph.readers.get(name, ()):
        if node.op_type == "Clip":
            return _dequantized(node.output[0], graph)
    return None


def _only_scales(node: onnx.NodeProto, name: str, graph: Names) -> bool:
    return all(other in (name, "") or other in graph.constants for other in node.input)


def _chain(name: str, graph: Names) -> list[str]:
    links = [name]
    while len(readers := graph.readers.get(links[-1], ())) == 1 and readers[0].op_type in _MERGED:
        links.append(readers[0].output[0])
    return links
