"""Small edits that every pass makes on a graph."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.lazy import Later
from spiq.graph.query import is_constant


def initializer(graph: ir.Graph, name: str, array: npt.NDArray[np.generic] | Later) -> ir.Value:
    """Register ``array`` as an initializer under ``name``, made unique, and return its value."""
    unique = unique_name(graph, name)
    tensor: ir.TensorProtocol
    if isinstance(array, Later):
        tensor = array.tensor(unique)
    else:
        array = np.require(array, requirements="C")
        tensor = ir.Tensor(array, name=unique)
    value = ir.Value(
        name=unique,
        shape=ir.Shape(tensor.shape.numpy()),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


_NAMES = "spiq.names"


def unique_name(graph: ir.Graph, name: str) -> str:
    """Return ``name``, with a number behind it where it is taken, and take it.

    Every new value has its name from here: the names given out are kept with the graph.
    """
    taken: set[str | None] | None = graph.meta.get(_NAMES)
    if taken is None:
        taken = {value.name for node in graph for value in node.outputs}
        taken.update(graph.initializers, (value.name for value in graph.inputs))
        graph.meta[_NAMES] = taken
    unique, count = name, 1
    while unique in taken:
        unique, count = f"{name}_{count}", count + 1
    taken.add(unique)
    return unique


def bypass(node: ir.Node) -> bool:
    """Remove ``node``, whose first output equals its first input; False where names forbid it.

    The input takes the output's name where nothing else reads it, so that a tensor keeps its name
    as the network shrinks.
    """
    source, result, graph = node.inputs[0], node.outputs[0], node.graph
    assert source is not None and isinstance(graph, ir.Graph)
    fixed = source.is_graph_output() or source.producer() is None
    if fixed and result.is_graph_output():
        return False
    takes_name = result.is_graph_output() or (not fixed and len(source.consumers()) == 1)
    if result.is_graph_output():
        source.shape, source.type = result.shape or source.shape, result.type or source.type
    result.replace_all_uses_with(source, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    if takes_name:
        source.name, result.name = result.name, None
    return True


def bypass_step(node: ir.Node) -> bool:
    """Remove an operator by a constant, which may stand first: as :func:`bypass`."""
    if is_constant(node.inputs[0]):
        node.replace_input_with(0, node.inputs[1])
    return bypass(node)


def replace(node: ir.Node, new: ir.Node) -> None:
    """Put ``new`` in the place of ``node``; outputs keep their names, shapes and types."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    graph.insert_after(node, new)
    for old, fresh in zip(node.outputs, new.outputs, strict=True):
        fresh.shape, fresh.type = old.shape, old.type
        name = old.name
        old.replace_all_uses_with(fresh, replace_graph_outputs=True)
        old.name = None
        fresh.name = name
    graph.remove(node, safe=True)


def remove_unused(graph: ir.Graph) -> None:
    """Drop nodes whose outputs nothing reads, then initializers that nothing reads."""
    for node in reversed(list(graph)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]


def named_after(value: ir.Value | None, ending: str) -> str:
    """Return a name that says which constant the new one comes from."""
    assert value is not None
    return f"{value.name}{ending}"
