"""The layers of a network as a user wants to see them."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, dims, has_weight, is_constant, layer_nodes
from spiq.graph.work import macs
from spiq.planning.errors.ranges import soft_ranges
from spiq.planning.placement.values import is_product
from spiq.planning.plan.values import Plan
from spiq.stats.propagate import Measured
from spiq.stats.rules.linear import grouped

_WIDTH = np.array([6.0])


@dataclass(frozen=True, kw_only=True)
class LayerResult:
    """What became of one layer (Conv, Gemm, MatMul, ConvTranspose) of the network."""

    name: str
    operator: str
    quantized: bool
    reason: str = ""
    """Why the layer stayed in float; empty where it did not."""
    in_channels: int = 0
    out_channels: int = 0
    parameters: int = 0
    macs: int | None = None
    """Multiply-accumulates of one image; None where a spatial size is dynamic."""
    statistics: str = ""
    """Where the statistics of the layer's input come from: norm, synthetic, data, propagated,
    input, constant or unknown."""
    bits: int | None = None
    """Of the weight; None in float."""
    spread: float | None = None
    """Largest over median per-channel range of the layer's input (1: all channels alike)."""


_AT_RUN_TIME = "its weight is computed at run time"


def layer_results(
    graph: ir.Graph, measured: Measured, plan: Plan | None = None
) -> tuple[LayerResult, ...]:
    """Describe every layer of a prepared network, in order.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        plan: What became of each layer; None before it is known.
    """
    ranges = soft_ranges(graph, measured, _WIDTH)
    spreads = {value: _spread(low, high) for value, (low, high) in ranges.items()}
    return tuple(_describe(node, measured, spreads, plan) for node in layer_nodes(graph))


def _describe(
    node: ir.Node,
    measured: Measured,
    spreads: dict[ir.Value, float | None],
    plan: Plan | None,
) -> LayerResult:
    source, weight = node.inputs[0], constant(node.inputs[1])
    if source is None or weight is None or not has_weight(node):
        return _of_activations(node, plan)
    groups, outputs, inputs, _ = grouped(node, weight).shape
    known = measured.stats.get(source)
    name = str(node.name)
    planned = plan.layers.get(name) if plan is not None else None
    return LayerResult(
        name=name,
        operator=node.op_type,
        quantized=planned is not None,
        reason=plan.left_in_float.get(name, "") if plan is not None else "",
        in_channels=groups * inputs,
        out_channels=groups * outputs,
        parameters=weight.size + (groups * outputs if len(node.inputs) > 2 else 0),
        macs=macs(node),
        statistics=known.source if known is not None else "unknown",
        bits=planned.bits if planned is not None else None,
        spread=spreads.get(source),
    )


def _of_activations(node: ir.Node, plan: Plan | None) -> LayerResult:
    """Describe a layer whose weight is known only as the network runs."""
    axis = -1 if node.op_type == "MatMul" else 1
    sizes = [dims(value) or [] for value in (node.inputs[0], node.outputs[0])]
    inputs, outputs = ((shape[axis] if len(shape) > 1 else None) or 0 for shape in sizes)
    constant_stack = is_constant(node.inputs[1])
    reason = "its weight is a stack of matrices" if constant_stack else _AT_RUN_TIME
    stored = plan is not None and all(str(v.name) in plan.tensors for v in node.inputs if v)
    if plan is not None:
        reason = plan.left_in_float.get(str(node.name), reason)
    quantized = stored and is_product(node) and str(node.name) not in plan.left_in_float  # type: ignore[union-attr]
    return LayerResult(
        name=str(node.name),
        operator=node.op_type,
        quantized=quantized,
        reason="" if quantized else reason,
        in_channels=inputs,
        out_channels=outputs,
        macs=macs(node) if node.op_type == "MatMul" else None,
        statistics="unknown",
    )


def _spread(low: np.ndarray, high: np.ndarray) -> float | None:
    """Return the widest channel's range over the median one's, of those that have one."""
    width = (high - low).reshape(-1)
    width = width[(width > 0) & np.isfinite(width)]
    return float(width.max() / np.median(width)) if len(width) else None
