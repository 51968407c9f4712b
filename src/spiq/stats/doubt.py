"""How doubt is passed on: the spread of the logarithm of a deviation, from operator to operator.

An operator that only moves channels moves their doubt. Activations, pools and steps by constants
keep it. Where several channels make up one, be it a sum or a layer, the doubt is that of the parts,
each counted with its share of the variance,

    tau^2 = sum_i v_i tau_i^2 / sum_i v_i.

Shares of a softmax are log-normal: their tail grows with the spread of what they are made of.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from spiq.graph.query import data_inputs
from spiq.stats.channel import Array, ChannelStats, tail_of_shares
from spiq.stats.routing import gather, route


def with_doubt(
    node: ir.Node, index: int, result: ChannelStats, known: Mapping[ir.Value, ChannelStats]
) -> ChannelStats:
    """Return what a rule found of output ``index`` with the doubt that its inputs hand on.

    Args:
        node: The operator.
        index: Which of its outputs.
        result: What the rule found.
        known: Statistics of the network's tensors.
    """
    inputs = [known[value] for value in data_inputs(node) if value in known]
    if result.doubt.any():
        return result
    if node.op_type == "Softmax" and node.domain == "" and inputs:
        return replace(result, doubt=_of_shares(inputs[0], result))
    if not any(one.doubt.any() for one in inputs):
        return result
    maps = route(node, [one.layout for one in inputs])
    if maps is not None and len(inputs) == len(data_inputs(node)):
        moved = gather(maps[index], [one.doubt for one in inputs])
        if moved.shape == result.layout:
            return replace(result, doubt=moved)
    if len(inputs) > 1 or inputs[0].layout != result.layout:
        return replace(result, doubt=np.full(result.layout, _mixed(inputs)))
    return replace(result, doubt=inputs[0].doubt)


def _of_shares(x: ChannelStats, result: ChannelStats) -> Array:
    """Return the doubt of what a softmax writes: its logarithms spread as what it reads does."""
    return np.broadcast_to(np.hypot(tail_of_shares(x.var), x.doubt), result.layout)


def _mixed(parts: list[ChannelStats]) -> Array:
    power = sum(float((one.var * one.doubt**2).sum()) for one in parts)
    total = sum(float(one.var.sum()) for one in parts)
    return np.asarray(np.sqrt(power / total if total > 0 else 0.0))
