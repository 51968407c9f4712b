"""Which entries of a network's outputs an Exp made: boxes of a detector, depths by their logarithm.

    y = a exp(x)

stays one through what moves data, through factors and through bounds. What is added to it is not
told apart from it, so corners of boxes are none. A softmax or a sigmoid that is spelled out divides
by what an Exp made, and is none; neither is an Exp of what is bounded soon, as a Gaussian.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.query import data_inputs, is_constant
from spiq.stats.channel import ChannelStats
from spiq.stats.propagate import Measured
from spiq.stats.routing import gather, mixture, route

ExpMask = npt.NDArray[np.bool_]
"""True where an Exp made an entry of a tensor's layout."""

_FREE = 3.0
"""Deviations from its mean up to which what an Exp reads has to be free to go."""

_KEEPS = frozenset({"Cast", "Clip", "Div", "Max", "Min", "Mul", "Neg"})


def exponential(graph: ir.Graph, measured: Measured) -> dict[str, ExpMask]:
    """Return where an Exp made the entries of each output, in its layout, by name.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.

    Returns:
        Those outputs alone of which an Exp made any.
    """
    made: dict[ir.Value, ExpMask] = {}
    for node in graph:
        if node.op_type == "Exp" and _is_free(node, measured.stats):
            made[node.outputs[0]] = np.ones(measured.stats[node.outputs[0]].layout, bool)
        elif any(value in made for value in data_inputs(node)):
            made.update(_through(node, made, measured.stats))
    ends = {str(value.name): made[value] for value in graph.outputs if value in made}
    return {name: where for name, where in ends.items() if where.any()}


def _is_free(node: ir.Node, known: Mapping[ir.Value, ChannelStats]) -> bool:
    x = known.get(node.inputs[0]) if node.inputs[0] is not None else None
    if x is None or node.outputs[0] not in known:
        return False
    return bool((x.high > x.mean + _FREE * x.std).any())


def _through(
    node: ir.Node, made: Mapping[ir.Value, ExpMask], known: Mapping[ir.Value, ChannelStats]
) -> dict[ir.Value, ExpMask]:
    """Return what of a node's outputs still is a exp(x)."""
    sources = data_inputs(node)
    if any(value not in known for value in (*sources, *node.outputs)) or node.domain != "":
        return {}
    parts = [
        made.get(value, np.zeros(known[value].layout, bool)).astype(np.float64) for value in sources
    ]
    layouts = [part.shape for part in parts]
    maps = route(node, layouts)
    mixed = maps or mixture(node, layouts)
    if mixed is not None:
        shown = [gather(entry, parts) for entry in mixed]
        found = shown if maps else [entry.min(axis=0) for entry in shown]
    elif node.op_type in _KEEPS and not _divides(node):
        found = [np.maximum.reduce(np.broadcast_arrays(*parts))]
    else:
        return {}
    pairs = zip(node.outputs, found, strict=False)
    return {value: part > 0 for value, part in pairs if part.shape == known[value].layout}


def _divides(node: ir.Node) -> bool:
    """Return whether a node divides by what is computed."""
    below = node.inputs[1] if node.op_type == "Div" else None
    return below is not None and not is_constant(below)
