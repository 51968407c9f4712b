"""Check that a plan, which users may edit, can be carried out on a network."""

from typing import NoReturn

import numpy as np
import onnx_ir as ir

from spiq.errors import PlanError
from spiq.network.query import dims
from spiq.planning.plan import LayerPlan, Plan, TensorPlan
from spiq.targets import TARGETS


def check_fits(graph: ir.Graph, plan: Plan) -> None:
    """Check a plan against the prepared network.

    Raises:
        PlanError: It names what the network does not have, or leaves out what a layer needs.
    """
    if plan.target not in TARGETS:
        _refuse(f"unknown target {plan.target!r}")
    nodes = {node.name: node for node in graph}
    for name in (*plan.integer, *plan.absorbed, *plan.layers):
        if name not in nodes:
            _refuse(f"the network has no node '{name}'")
    for name in plan.layers:
        source = nodes[name].inputs[0]
        if source is None or source.name not in plan.tensors or name not in plan.integer:
            _refuse(f"layer '{name}' is not among its integer nodes, or its input is not stored")
        _check_layer(name, plan.layers[name], plan.tensors[str(source.name)])
    values = {value.name: value for node in graph for value in node.outputs}
    values.update({value.name: value for value in graph.inputs})
    for name, tensor in plan.tensors.items():
        if name not in values or not _has_shape(values[name], tensor):
            _refuse(f"the network has no tensor '{name}' with channels {list(tensor.layout)}")
        if not 0 < min(tensor.channel_scale) <= max(tensor.channel_scale) < np.inf:
            _refuse(f"tensor '{name}' has a channel scale that is not positive")
        grid = tensor.grid
        bounded = grid.bits in range(2, 9) and not grid.signed and 0 < grid.scale < np.inf
        if not (bounded and grid.qmin <= grid.zero_point <= grid.qmax):
            _refuse(f"the grid of tensor '{name}' is none of unsigned 8-bit integers")


def _check_layer(name: str, layer: LayerPlan, source: TensorPlan) -> None:
    if layer.bits not in range(2, 9):
        _refuse(f"layer '{name}' has weights of {layer.bits} bits, not 2 to 8")
    if len(layer.input_mean) not in (0, 1, len(source.channel_scale)):
        _refuse(f"layer '{name}' has {len(layer.input_mean)} input means, not one per channel")


def _refuse(problem: str) -> NoReturn:
    raise PlanError(f"the plan cannot be applied: {problem}; mend it, or make a new one")


def _has_shape(value: ir.Value, tensor: TensorPlan) -> bool:
    sizes = dims(value) or [None] * len(tensor.layout)
    return (
        len(tensor.channel_scale) == np.prod(tensor.layout)
        and len(sizes) == len(tensor.layout)
        and all(own in (1, size or own) for own, size in zip(tensor.layout, sizes, strict=True))
    )
