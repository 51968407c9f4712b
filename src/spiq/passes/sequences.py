"""Splits whose parts go through a sequence, as PyTorch writes ``split``, ``chunk`` and ``unbind``.

    s = SplitToSequence(x, sizes); y_i = SequenceAt(s, i)    becomes    y_0, y_1, ... = Split(x)

where all readers take one part each by a constant index. No rule and no kernel knows sequences.
PyTorch writes a split once for each part that is read; one is enough, and only a Split whose parts
are all read is done on integers by the runtime.
"""

import math

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, remove_unused, replace, unique_name
from spiq.graph.query import constant, dims


def plain_splits(model: ir.Model) -> int:
    """Write splits through a sequence as Split, in place."""
    changed = 0
    for node in list(model.graph):
        if node.op_type == "SplitToSequence" and node.domain == "":
            places, sizes = _places(node), _sizes(node)
            if places is not None and sizes is not None and _fit(places, sizes):
                _write(model.graph, node, places, sizes)
                changed += 1
    if changed:
        remove_unused(model.graph)
    return changed


def same_splits(model: ir.Model) -> int:
    """Let readers of equal Splits of a tensor read one of them, in place; return how many went."""
    first: dict[tuple[object, ...], ir.Node] = {}
    removed = 0
    for node in list(model.graph):
        sizes = constant(node.inputs[1]) if len(node.inputs) > 1 else np.zeros(0)
        if node.op_type != "Split" or node.domain != "" or sizes is None:
            continue
        axis = node.attributes.get_int("axis", 0)
        other = first.setdefault((node.inputs[0], axis, *sizes.tolist(), len(node.outputs)), node)
        if other is node or any(part.is_graph_output() for part in node.outputs):
            continue
        for part, same in zip(node.outputs, other.outputs, strict=True):
            part.replace_all_uses_with(same)
        model.graph.remove(node, safe=True)
        removed += 1
    return removed


def _places(node: ir.Node) -> dict[ir.Node, int] | None:
    """Return which part each reader takes; None if one does something else."""
    if node.outputs[0].is_graph_output():
        return None
    found = {}
    for reader in node.outputs[0].consumers():
        index = constant(reader.inputs[1]) if reader.op_type == "SequenceAt" else None
        if index is None:
            return None
        found[reader] = int(index.reshape(-1)[0])
    return found


def _sizes(node: ir.Node) -> list[int] | None:
    """Return the sizes of the parts, if they are known."""
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if given is not None:
        numbers = constant(given)
        if numbers is None or numbers.ndim:
            return None if numbers is None else [int(size) for size in numbers]
    shape = dims(node.inputs[0])
    whole = None if shape is None else shape[node.attributes.get_int("axis", 0)]
    part = 1 if given is None else int(numbers)  # type: ignore[arg-type]
    if whole is None or part < 1:
        return None
    return [min(part, whole - i * part) for i in range(math.ceil(whole / part))]


def _fit(places: dict[ir.Node, int], sizes: list[int]) -> bool:
    return all(-len(sizes) <= place < len(sizes) for place in places.values())


def _write(graph: ir.Graph, node: ir.Node, places: dict[ir.Node, int], sizes: list[int]) -> None:
    source, axis = node.inputs[0], node.attributes.get_int("axis", 0)
    assert source is not None
    squeezed = len(node.inputs) < 2 and not node.attributes.get_int("keepdims", 1)
    kept = initializer(graph, f"{node.outputs[0].name}_sizes", np.array(sizes, np.int64))
    split = ir.node("Split", [source, kept], {"axis": axis}, num_outputs=len(sizes), name=node.name)
    for part, size in zip(split.outputs, sizes, strict=True):
        part.name = unique_name(graph, f"{node.outputs[0].name}_part")
        part.type = source.type
        if source.shape is not None:
            part.shape = ir.Shape([*source.shape])
            part.shape[axis] = size
    graph.insert_before(node, split)

    axes = initializer(graph, f"{split.name}_axes", np.array([axis], np.int64))
    for reader, place in places.items():
        part = split.outputs[place]
        plain = ("Squeeze", [part, axes]) if squeezed else ("Identity", [part])
        replace(reader, ir.node(*plain, name=reader.name))
