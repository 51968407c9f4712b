"""Decide which tensors are quantized, and what has to go together.

1. *Layers.* Every Conv, Gemm and MatMul with a constant weight and known statistics runs on
   integers, unless excluded. Their inputs are demanded, to be stored as integers:
   :mod:`spiq.planning.placement.demand`.
2. *Operators between.* In the order of execution, an operator with an integer kernel runs on
   integers if all its inputs are stored and a layer reads its result, directly or through more of
   them. (Where only float operators read on, staying in float saves a rounding.) A ReLU (or a Clip
   from 0) behind an operator that rounds its output is absorbed: the grid starts at 0 and
   saturates.
3. *What goes together*: :mod:`spiq.planning.placement.sharing`.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, data_inputs, is_float32, sole_consumer, weight_nodes
from spiq.planning.placement.demand import demanded_by, is_moved_whole
from spiq.planning.placement.fitness import why_float
from spiq.planning.placement.kernels import broken_form
from spiq.planning.placement.sharing import pinned_by_floats, shared_grids, shared_scales
from spiq.planning.placement.values import LAYERS, ROUNDS, Placement, is_product, is_repeated
from spiq.stats.movers import MOVERS
from spiq.stats.propagate import Measured
from spiq.targets import Target

_FUSED_WITH_GEMM = frozenset({"Elu", "HardSigmoid", "LeakyRelu", "Relu", "Selu", "Sigmoid",
                              "Softplus", "Softsign", "Tanh", "ThresholdedRelu"})  # fmt: skip
"""Activations that ONNX Runtime fuses with a Gemm in float, before it looks for integers."""


def place(
    graph: ir.Graph, measured: Measured, target: Target, exclude: Mapping[str, str]
) -> Placement:
    """Decide what runs on integers.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        target: The runtime.
        exclude: Names of layers (or of other operators) to leave in float, and why.
    """
    placement = Placement()
    layers = _layers(graph, measured, target, exclude, placement.reasons)
    products = _products(graph, measured, target, exclude)
    _note_operators(graph, layers, target, exclude, placement.reasons)
    needed = _needed(graph, {*layers, *products}, target)
    demanded, placement.shortcuts = demanded_by(graph, layers, products, measured, target)
    stored: dict[ir.Value, None] = {value: None for value in graph.inputs if value in demanded}

    # 1 and 2: in the order of execution, whether a node runs on integers, and what is stored
    for node in graph:
        between = node in needed and node not in placement.reasons
        if between:
            stored.update(dict.fromkeys(_beside_stored(node, stored, measured, target)))
        is_layer = node in layers or node in products
        if is_layer or (between and _runs_on_integers(node, stored, measured, target)):
            placement.integer[node] = None
            ends_in_float = node.op_type in target.float_output and not _is_fused(node)
            if not ends_in_float or _is_demanded(node, demanded):
                stored.update(dict.fromkeys(node.outputs))
        elif _is_absorbed(node, placement, stored, target) and node.outputs[0] in measured.stats:
            placement.absorbed[node] = None
            del stored[node.inputs[0]]  # type: ignore[arg-type]
            stored[node.outputs[0]] = None
        else:
            stored.update({value: None for value in node.outputs if value in demanded})

    # 3: what goes together
    placement.grids = shared_grids(placement, stored, measured)
    placement.classes, placement.pinned = shared_scales(placement, stored, measured)
    if not target.factors:
        placement.pinned |= pinned_by_floats(placement)
    return placement


def _layers(
    graph: ir.Graph,
    measured: Measured,
    target: Target,
    exclude: Mapping[str, str],
    reasons: dict[ir.Node, str],
) -> dict[ir.Node, None]:
    """Return the layers that run on integers; why others do not goes into ``reasons``."""
    layers: dict[ir.Node, None] = {}
    for node in weight_nodes(graph):
        reason = why_float(node, measured, target, exclude)
        if reason:
            reasons[node] = reason
        else:
            layers[node] = None
    return layers


def _products(
    graph: ir.Graph, measured: Measured, target: Target, exclude: Mapping[str, str]
) -> dict[ir.Node, None]:
    """Return the products of two tensors that run on integers."""
    return {
        node: None
        for node in graph
        if is_product(node)
        and node.op_type in target.integer
        and node.name not in exclude
        and is_float32(node.outputs[0])
        and all(value in measured.stats for value in (*node.inputs, *node.outputs))
    }


def _note_operators(
    graph: ir.Graph,
    layers: Collection[ir.Node],
    target: Target,
    exclude: Mapping[str, str],
    reasons: dict[ir.Node, str],
) -> None:
    """Note in ``reasons`` which operators between layers stay in float, and why."""
    for node in graph:
        if node not in layers and node.name in exclude and _kind(node) in target.integer:
            reasons.setdefault(node, exclude[str(node.name)] or "excluded")
        if broken := broken_form(node):
            reasons.setdefault(node, broken)


def _is_demanded(node: ir.Node, demanded: set[ir.Value]) -> bool:
    result = node.outputs[0]
    if result in demanded:
        return True
    after = sole_consumer(result)
    return after is not None and _is_rectifier(after) and after.outputs[0] in demanded


def _is_fused(node: ir.Node) -> bool:
    """Return whether the runtime would make one float operator of ``node`` and its activation."""
    after = sole_consumer(node.outputs[0]) if node.op_type == "Gemm" else None
    return (
        after is not None
        and after.op_type in _FUSED_WITH_GEMM
        and not after.outputs[0].is_graph_output()
    )


def _kind(node: ir.Node) -> str:
    """Return how a target names the operator of ``node``."""
    if node.op_type == "Resize" and node.attributes.get_string("mode", "nearest") == "nearest":
        return "ResizeNearest"
    return node.op_type if node.domain == "" else ""


def _needed(graph: ir.Graph, layers: set[ir.Node], target: Target) -> set[ir.Node]:
    """Return the operators whose results reach a layer through operators with integer kernels."""
    needed = set(layers)
    for node in reversed(list(graph)):
        if target.whole:
            needed.add(node)
        if node.op_type in LAYERS and node not in layers:
            continue  # it stays in float, and what it reads need not be stored
        if _kind(node) in target.integer or _is_rectifier(node):
            readers = [reader for value in node.outputs for reader in value.consumers()]
            if any(reader in needed for reader in readers):
                needed.add(node)
    return needed


def _beside_stored(
    node: ir.Node, stored: dict[ir.Value, None], measured: Measured, target: Target
) -> list[ir.Value]:
    """Return what operators on stored tensors read from float operators: to be stored, too.

    Without, all that a Concat reads would be turned to float, and back behind it; or all that a
    gate multiplies, for the sake of a number per channel.
    """
    given = data_inputs(node)
    if node.op_type not in ("Concat", "Mul") or _kind(node) not in target.integer:
        return []
    missing = [value for value in given if value not in stored]
    known = all(value in measured.stats and value.producer() is not None for value in missing)
    if not known or len(given) < len(node.inputs) or len(missing) >= len(given):
        return []
    if node.op_type == "Mul":
        there = [value for value in given if value in stored]
        return [value for value in missing if is_repeated(value, there[0])]
    return missing


def _runs_on_integers(
    node: ir.Node, stored: dict[ir.Value, None], measured: Measured, target: Target
) -> bool:
    if node.op_type in LAYERS or node.domain != "":
        return False
    kind = _kind(node)
    inputs = data_inputs(node)
    if kind not in target.integer or not inputs or any(value not in stored for value in inputs):
        return False
    if any(value not in measured.stats for value in node.outputs):
        return False
    if kind in ("Add", "Concat", "Mul") and len(inputs) != len(node.inputs):
        return False
    if kind == "MaxPool" and len(node.outputs) > 1:
        return False
    return kind not in MOVERS or is_moved_whole(node, measured)


def _is_rectifier(node: ir.Node) -> bool:
    if node.op_type == "Relu":
        return True
    if node.op_type != "Clip" or len(node.inputs) < 2:
        return False
    low = constant(node.inputs[1])
    high = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.ones(())
    return low is not None and float(low) == 0 and high is not None and float(high) > 0


def _is_absorbed(
    node: ir.Node, placement: Placement, stored: dict[ir.Value, None], target: Target
) -> bool:
    source = node.inputs[0] if node.inputs else None
    if source is None or source not in stored or not _is_rectifier(node):
        return False
    if node.op_type not in target.bounds:
        return False
    producer = source.producer()
    rounds = producer is not None and producer in placement.integer and producer.op_type in ROUNDS
    return rounds and sole_consumer(source) is node
