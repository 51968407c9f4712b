"""How heavy the tails of a tensor are: the degrees of freedom of the error model's T.

Those of any tensor were found on published networks. Sums of two have more, and powers fewer:
P(|T|^p > r) = P(|T| > r^(1/p)) falls as r^(-freedom / p).
"""

from collections.abc import Mapping

import onnx_ir as ir

from spiq.graph.query import data_inputs
from spiq.planning.errors.error_model import FREEDOM, SUM_FREEDOM
from spiq.stats.channel import ChannelStats
from spiq.stats.movers import MOVERS
from spiq.stats.rules.activations import function_of
from spiq.stats.rules.compositions import raised

POWER_FREEDOM = 4.5
"""The least of powers. By the law a square has 3.25; but where a StarReLU adds a constant, steps so
wide round it by much (35 dB to 21), while two small networks trained on images have 28.3 and 18.6
dB with 3.25, 25.1 and 18.4 with 4.5, 17.1 and 14.0 with the 6.5 of any other tensor."""

_KEEP = frozenset(
    {"AveragePool", "BatchNormalization", "GlobalAveragePool", "MaxPool", "ReduceMean"}
)
"""Operators behind which a power is still one, besides activations and what moves data."""


def freedom_of(value: ir.Value, stats: Mapping[ir.Value, ChannelStats]) -> float:
    """Return the degrees of freedom of a tensor: of a sum, be it activated or moved, more.

    Not where all terms are rectified: a few large values make their tails, and few coincide. Of a
    power, fewer, but of one that was observed: pictures of more contrast than data have shown it
    wide enough.

    Args:
        value: The tensor.
        stats: Statistics of the network's tensors.
    """
    power = _power(value, stats)
    if power > 1:
        return max(FREEDOM / power, POWER_FREEDOM)
    node = value.producer()
    while node is not None and (node.op_type in MOVERS or function_of(node) is not None):
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node is None or not is_sum(node) or all(map(_is_rectified, data_inputs(node))):
        return FREEDOM
    return SUM_FREEDOM


def _power(value: ir.Value, stats: Mapping[ir.Value, ChannelStats]) -> float:
    """Return the power of another tensor that one is, be it activated, moved or pooled."""
    power, node = 1.0, value.producer()
    while node is not None:
        known = stats.get(node.outputs[0])
        if known is not None and known.source in ("synthetic", "data"):
            break
        found = raised(node)
        if found is not None:
            power *= found[2]
        elif node.op_type not in MOVERS.keys() | _KEEP and function_of(node) is None:
            break
        source = node.inputs[0] if found is None else found[0]
        node = None if source is None else source.producer()
    return power


def _is_rectified(value: ir.Value) -> bool:
    """Return whether a tensor is a rectifier's, moved or normalized, or a sum of such."""
    node = value.producer()
    while node is not None and (node.op_type in MOVERS or node.op_type == "BatchNormalization"):
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node is not None and is_sum(node):
        return all(map(_is_rectified, data_inputs(node)))
    return node is not None and node.op_type in ("Relu", "Clip")


def is_sum(node: ir.Node) -> bool:
    """Return whether ``node`` adds two tensors."""
    return node.op_type in ("Add", "Sub") and len(data_inputs(node)) == 2
