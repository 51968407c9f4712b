"""Matrices that are turned by way of a flat stack, as PyTorch's exporter does with open sizes.

    Reshape (..., S, E) -> (N, S, E), Transpose -> (N, E, S), Reshape -> (..., E, S)

is one Transpose of the last two axes. The sizes for the Reshapes are computed as the network runs,
and where heads lie beside the batch nobody can tell what is a channel.
"""

import onnx_ir as ir

from spiq.graph.edit import remove_unused, replace
from spiq.graph.query import dims, ints, sole_consumer


def plain_turns(model: ir.Model) -> int:
    """Write turns by way of a flat stack as one Transpose, in place."""
    changed = 0
    for node in list(model.graph):
        source = _turned(node) if node.op_type == "Reshape" and node.domain == "" else None
        if source is not None:
            size = len(dims(source) or [])
            order = [*range(size - 2), size - 1, size - 2]
            replace(node, ir.node("Transpose", [source], {"perm": order}, name=node.name))
            changed += 1
    if changed:
        remove_unused(model.graph)
    return changed


def _turned(node: ir.Node) -> ir.Value | None:
    """Return the tensor whose last two axes a Reshape, and what is in front of it, swaps."""
    turn = _before(node, "Transpose")
    flat = _before(turn, "Reshape") if turn is not None else None
    if turn is None or flat is None or ints(turn, "perm", [2, 1, 0]) != [0, 2, 1]:
        return None
    before, stack, after = map(_sizes, (flat.inputs[0], flat.outputs[0], node.outputs[0]))
    if len(before) < 3 or len(before) != len(after) or None in (*before[-2:], *stack[-2:]):
        return None
    turned = before[-2:] == stack[-2:] == after[:-3:-1]
    # Of equally many elements, one size that is open in both is the same.
    heads = [size if isinstance(size, int) else None for size in before[:-2]]
    others = [size if isinstance(size, int) else None for size in after[:-2]]
    return flat.inputs[0] if turned and heads == others and heads.count(None) <= 1 else None


def _sizes(value: ir.Value | None) -> list[int | str | None]:
    """Return the sizes of a tensor, the names of those that are open; none of unknown rank."""
    if value is None or value.shape is None:
        return []
    return [size.value if isinstance(size, ir.SymbolicDim) else size for size in value.shape]


def _before(node: ir.Node, operator: str) -> ir.Node | None:
    """Return what makes a node's input, if it is of a type and nothing else reads it."""
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    plain = producer is not None and producer.op_type == operator and producer.domain == ""
    return producer if plain and source is not None and sole_consumer(source) is node else None
