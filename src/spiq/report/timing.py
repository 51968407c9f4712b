"""Whose time it is: what the runtime's profiler says of kernels, by layer.

The runtime renames and joins nodes. A kernel that multiplies and is named after a normalization or
an activation behind a layer is that layer's; everything else counts as its operator's.
"""

from collections import defaultdict
from collections.abc import Mapping

import onnx_ir as ir

from spiq.graph.query import layer_nodes, sole_consumer
from spiq.inspection.in_single import AsRun
from spiq.passes.prepare import Prepared
from spiq.planning.choose.structure import owners, structure_of
from spiq.planning.placement.values import Placement
from spiq.report.facts import OtherTime
from spiq.runtime.named import name_all
from spiq.runtime.profile import KernelTime

_JOINED = 2
"""Operators behind a layer that the runtime may join to it: a normalization, an activation."""


def by_layer(
    prepared: Prepared, kernels: Mapping[str, KernelTime]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the milliseconds of each layer, and of all other operators of a type.

    Args:
        prepared: The prepared network.
        kernels: Of the float network or the quantized one, by their names.
    """
    graph, next_names = prepared.model.graph, prepared.next_names
    layers, others = defaultdict[str, float](float), defaultdict[str, float](float)
    belongs, layer_of = (
        owners(structure_of(graph, Placement(), {}, next_names), kernels),
        _layers(graph),
    )
    for name, kernel in kernels.items():
        owner = layer_of.get(belongs.get(name, "")) if _multiplies(kernel.operator) else None
        if owner is not None:
            layers[owner] += 1e3 * kernel.seconds
        else:
            others[kernel.operator] += 1e3 * kernel.seconds
    return dict(layers), dict(others)


def other_times(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[OtherTime, ...]:
    """Return the time of what is no layer by type, longest first."""
    rows = (
        OtherTime(operator=name, float_ms=before.get(name, 0.0), ms=after.get(name, 0.0))
        for name in before.keys() | after.keys()
    )
    return tuple(sorted(rows, key=lambda row: (-row.float_ms - row.ms, row.operator)))


def named(network: AsRun) -> str | bytes:
    """Return a network whose operators all have names: :mod:`spiq.runtime.named`."""
    changed = network.light()
    return network.whole(changed) if name_all(changed.graph) else network.source


def _layers(graph: ir.Graph) -> dict[str, str]:
    """Return the layer that each operator is, or may be joined to, both by name."""
    layers = layer_nodes(graph)
    found = {str(layer.name): str(layer.name) for layer in layers}
    for layer in layers:
        node = sole_consumer(layer.outputs[0])
        for _ in range(_JOINED):
            if node is None or node in layers:
                break
            found.setdefault(str(node.name), str(layer.name))
            node = sole_consumer(node.outputs[0])
    return found


def _multiplies(operator: str) -> bool:
    return any(kind in operator for kind in ("Conv", "Gemm", "MatMul"))
