"""Names that users know from their module, in place of the exporter's numbers.

The exporter notes with each node the module that it comes from (``layer1.0.conv1``). A layer is
called like the module that holds its weight, any other node like its module and operator
(``layer1.0/Add``). A module that is used twice makes two nodes: the second gets a number.
"""

import ast
from collections import Counter

import onnx_ir as ir

from spiq.graph.query import layer_nodes

_SCOPES = "pkg.torch.onnx.name_scopes"
_OWN = "pkg."
_NORMS = ("BatchNormalization", "LayerNormalization", "GroupNormalization",
          "InstanceNormalization", "RMSNormalization")  # fmt: skip


def name_by_modules(model: ir.Model) -> None:
    """Name the nodes of an exported graph by modules, in place; drop what else it notes of them.

    (Stack traces hold the paths of someone's machine.)
    """
    layers = {*layer_nodes(model.graph)}
    taken: Counter[str] = Counter()
    for node in model.graph:
        name = _name(node, is_layer=node in layers or node.op_type in _NORMS)
        if name:
            count = taken[name]
            taken[name] += 1
            node.name = f"{name}_{count}" if count else name
    _drop_notes(model)


def _name(node: ir.Node, *, is_layer: bool) -> str:
    module = _module(node)
    if not is_layer:
        return f"{module}/{node.op_type}" if module else ""
    return _holder(node.inputs[1] if len(node.inputs) > 1 else None) or module


def _module(node: ir.Node) -> str:
    """Return the path of the module that a node comes from; empty for the network itself."""
    try:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
    except (SyntaxError, ValueError):
        return ""
    module = str(scopes[-2]) if len(scopes) > 1 else ""
    return "" if module.startswith("_") else module


def _holder(weight: ir.Value | None) -> str:
    """Return the module that holds a weight: that of its name, behind what only turns it."""
    while weight is not None and (node := weight.producer()) is not None:
        if node.op_type not in ("Transpose", "Identity", "Reshape", "Cast"):
            return ""
        weight = node.inputs[0]
    name = "" if weight is None or not weight.is_initializer() else str(weight.name)
    return name.removesuffix(".weight") if name.endswith(".weight") else ""


def _drop_notes(model: ir.Model) -> None:
    graph = model.graph
    holders = [model, graph, *graph, *graph.inputs, *graph.initializers.values()]
    holders += [value for node in graph for value in node.outputs]
    for holder in holders:
        notes = holder.metadata_props
        for key in [key for key in notes if key.startswith(_OWN) or key == "namespace"]:
            del notes[key]
