"""Check that a plan, which users may edit, can be carried out on a network.

Checked are the names, the shapes, and that tensors which have to go together were not told apart:
those on one grid have the same bits and zero, those whose channels share a scale the same alpha or
the same scales. What a plan says of layers and tensors that its ``left_in_float`` has put out of
use has no effect, so that a layer can be moved there by one line.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import onnx_ir as ir

from spiq.config import EFFORTS
from spiq.errors import OtherModelError
from spiq.graph.fingerprint import fingerprint
from spiq.graph.query import where
from spiq.methods import METHODS
from spiq.planning.placement.values import LAYERS, Placement, is_layer, is_product
from spiq.planning.plan.entries import LayerPlan
from spiq.planning.plan.tensor_checks import check_tensors, refuse
from spiq.planning.plan.values import Plan
from spiq.targets import TARGETS, WEIGHT_BITS

_WEIGHTED = frozenset({*LAYERS, "ConvTranspose", "BatchNormalization"})


def check_hash(plan: Plan, network: ir.Model) -> None:
    """Refuse a plan that was made for another network, as that was read.

    Raises:
        OtherModelError: It was.
    """
    own = fingerprint(network)
    if own != plan.model_hash:
        raise OtherModelError(
            f"the plan was made for another model (its hash is {plan.model_hash[:12]}, this one's "
            f"{own[:12]}): make a new plan with --save-plan"
        )


def check_settings(plan: Plan, roundings: Collection[str]) -> None:
    """Check what needs no network.

    Args:
        plan: The plan.
        roundings: Names of the roundings that there are.

    Raises:
        PlanError: The target, the method or a rounding is unknown.
    """
    if plan.target not in TARGETS:
        refuse(f"unknown target {plan.target!r}: choose one of {', '.join(TARGETS)}")
    if plan.method not in METHODS:
        refuse(f"unknown method {plan.method!r}: choose one of {', '.join(METHODS)}")
    if plan.effort not in EFFORTS:
        refuse(f"unknown effort {plan.effort!r}: choose one of {', '.join(EFFORTS)}")
    for name, layer in plan.layers.items():
        if layer.rounding not in roundings:
            known = ", ".join(roundings)
            refuse(f"layer '{name}': unknown rounding {layer.rounding!r}: choose one of {known}")


def check_fits(graph: ir.Graph, plan: Plan, placement: Placement) -> Plan:
    """Check a plan against the prepared network.

    Args:
        graph: The network.
        plan: The plan.
        placement: What the plan's ``left_in_float`` makes of the network.

    Returns:
        The plan without what has no effect.

    Raises:
        PlanError: It names what the network does not have, leaves out what a layer needs, or
            contradicts itself.
    """
    _check_layers({str(node.name): node for node in graph}, plan, placement)
    _check_names(graph, plan)
    check_tensors(plan, placement)
    return _in_effect(plan, placement)


def _check_names(graph: ir.Graph, plan: Plan) -> None:
    """Check that the network has the inputs and tensors that a plan names."""
    inputs = {str(value.name) for value in graph.inputs}
    values = inputs | {str(value.name) for node in graph for value in node.outputs}
    for name in plan.inputs:
        if name not in inputs:
            refuse(f"the network has no input '{name}'")
    for name, entry in plan.tensors.items():
        for other in (name, entry.step_of):
            if other is not None and other not in values:
                refuse(f"the network has no tensor '{other}'")


def _in_effect(plan: Plan, placement: Placement) -> Plan:
    return replace(
        plan,
        tensors={str(value.name): plan.tensors[str(value.name)] for value in placement.grids},
        layers={
            str(node.name): plan.layers[str(node.name)]
            for node in placement.integer
            if node.op_type in _WEIGHTED and not is_product(node)
        },
        left_in_float={str(node.name): reason for node, reason in placement.reasons.items()},
    )


def _check_layers(nodes: Mapping[str, ir.Node], plan: Plan, placement: Placement) -> None:
    for name in (*plan.layers, *plan.left_in_float):
        if name not in nodes:
            refuse(f"the network has no layer '{name}'")
    for name in plan.layers:
        node, reason = nodes[name], placement.reasons.get(nodes[name])
        if node.op_type not in _WEIGHTED or is_product(node):
            refuse(f"{where(node)} is among layers, but has no weight to round")
        if reason is not None and name not in plan.left_in_float:
            refuse(f"layer '{name}' is among layers, but cannot run on integers: {reason}")
    for name in plan.left_in_float:
        if nodes[name] in placement.absorbed:
            refuse(f"{where(nodes[name])} goes with the layer before it: leave that in float")

    on_integers = [
        node for node in placement.integer if node.op_type in _WEIGHTED and not is_product(node)
    ]
    if not any(is_layer(node) or is_product(node) for node in placement.integer):
        refuse("it leaves every layer in float, and nothing to quantize")
    for node in on_integers:
        name = str(node.name)
        if name not in plan.layers:
            refuse(f"layer '{name}' is neither among layers nor in left_in_float")
        _check_layer(name, plan.layers[name], plan)
        _check_input_bits(node, plan.layers[name], placement)


def _check_layer(name: str, layer: LayerPlan, plan: Plan) -> None:
    if layer.bits not in range(2, WEIGHT_BITS + 1):
        whence = ", the plan's weight_bits" if layer.bits == plan.weight_bits else ""
        refuse(f"layer '{name}' has weights of {layer.bits} bits{whence}, not 2 to {WEIGHT_BITS}")


def _check_input_bits(node: ir.Node, layer: LayerPlan, placement: Placement) -> None:
    stored = node.inputs[0] in placement.grids
    if stored and layer.input_bits is not None:
        refuse(f"layer '{node.name}' has input_bits, but its input is stored as tensors says")
    if not stored and layer.input_bits not in range(2, 9):
        refuse(f"layer '{node.name}' has input_bits {layer.input_bits}, not 2 to 8")
