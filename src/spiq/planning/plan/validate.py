"""Check that a plan, which users may edit, can be carried out on a network.

Checked are the names, the shapes, and that tensors which have to go together were not told apart:
those on one grid have the same bits and zero, those whose channels share a scale the same alpha or
the same scales. What a plan says of layers and tensors that its ``left_in_float`` has put out of
use has no effect, so that a layer can be moved there by one line.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
import onnx_ir as ir

from spiq.config import EFFORTS
from spiq.errors import PlanError
from spiq.graph.fingerprint import fingerprint
from spiq.graph.query import where
from spiq.methods import METHODS
from spiq.planning.placement.groups import groups
from spiq.planning.placement.values import LAYERS, Placement, is_layer, is_product
from spiq.planning.plan.entries import LayerPlan, Numbers, TensorPlan
from spiq.planning.plan.forms import form_problem
from spiq.planning.plan.resolve import resolve, zero_point
from spiq.planning.plan.values import Plan
from spiq.targets import TARGETS

_WEIGHTED = frozenset({*LAYERS, "ConvTranspose", "BatchNormalization"})
_LARGEST, _WIDEST = 1e30, 1e15
"""The largest step and channel scale: both, and what comes of them, have to fit in float32."""


def check_hash(plan: Plan, network: ir.Model) -> None:
    """Refuse a plan that was made for another network, as that was read.

    Raises:
        PlanError: It was.
    """
    own = fingerprint(network)
    if own != plan.model_hash:
        raise PlanError(
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
        _refuse(f"unknown target {plan.target!r}: choose one of {', '.join(TARGETS)}")
    if plan.method not in METHODS:
        _refuse(f"unknown method {plan.method!r}: choose one of {', '.join(METHODS)}")
    if plan.effort not in EFFORTS:
        _refuse(f"unknown effort {plan.effort!r}: choose one of {', '.join(EFFORTS)}")
    for name, layer in plan.layers.items():
        if layer.rounding not in roundings:
            known = ", ".join(roundings)
            _refuse(f"layer '{name}': unknown rounding {layer.rounding!r}: choose one of {known}")


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
    for value, classes in placement.classes.items():
        _check_tensor(str(value.name), plan, classes.shape)
        if value.is_graph_input():
            _check_input(str(value.name), plan)
    if placement.grids:
        for group in groups(placement):
            _check_grids(group, plan, placement)
            _check_scales(group, plan, placement)
        _check_ends(plan, placement)
    return _in_effect(plan, placement)


def _check_names(graph: ir.Graph, plan: Plan) -> None:
    """Check that the network has the inputs and tensors that a plan names."""
    inputs = {str(value.name) for value in graph.inputs}
    values = inputs | {str(value.name) for node in graph for value in node.outputs}
    for name in plan.inputs:
        if name not in inputs:
            _refuse(f"the network has no input '{name}'")
    for name, entry in plan.tensors.items():
        for other in (name, entry.step_of):
            if other is not None and other not in values:
                _refuse(f"the network has no tensor '{other}'")


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
            _refuse(f"the network has no layer '{name}'")
    for name in plan.layers:
        node, reason = nodes[name], placement.reasons.get(nodes[name])
        if node.op_type not in _WEIGHTED or is_product(node):
            _refuse(f"{where(node)} is among layers, but has no weight to round")
        if reason is not None and name not in plan.left_in_float:
            _refuse(f"layer '{name}' is among layers, but cannot run on integers: {reason}")
    for name in plan.left_in_float:
        if nodes[name] in placement.absorbed:
            _refuse(f"{where(nodes[name])} goes with the layer before it: leave that in float")

    on_integers = [
        node for node in placement.integer if node.op_type in _WEIGHTED and not is_product(node)
    ]
    if not any(is_layer(node) or is_product(node) for node in placement.integer):
        _refuse("it leaves every layer in float, and nothing to quantize")
    for node in on_integers:
        name = str(node.name)
        if name not in plan.layers:
            _refuse(f"layer '{name}' is neither among layers nor in left_in_float")
        _check_layer(name, plan.layers[name], plan)
        _check_input_bits(node, plan.layers[name], placement)


def _check_layer(name: str, layer: LayerPlan, plan: Plan) -> None:
    most = TARGETS[plan.target].weights.bits
    if layer.bits not in range(2, most + 1):
        whence = ", the plan's weight_bits" if layer.bits == plan.weight_bits else ""
        _refuse(
            f"layer '{name}' has weights of {layer.bits} bits{whence}, and target {plan.target} "
            f"takes 2 to {most}"
        )


def _check_input_bits(node: ir.Node, layer: LayerPlan, placement: Placement) -> None:
    stored = node.inputs[0] in placement.grids
    if stored and layer.input_bits is not None:
        _refuse(f"layer '{node.name}' has input_bits, but its input is stored as tensors says")
    if not stored and layer.input_bits not in range(2, 9):
        _refuse(f"layer '{node.name}' has input_bits {layer.input_bits}, not 2 to 8")


def _check_tensor(name: str, plan: Plan, layout: tuple[int, ...]) -> None:
    """Check what a plan says of a tensor by itself, of channels laid out as ``layout``."""
    if name not in plan.tensors:
        _refuse(
            f"tensor '{name}', which runs on integers now, is not among tensors: a layer that was "
            "in float when the plan was made cannot be put on integers by hand"
        )
    tensor = plan.tensors[name]
    _check_numbers(name, tensor, layout)
    _check_zero(name, tensor)
    _check_own_scales(name, tensor)
    if problem := form_problem(tensor, plan.target):
        _refuse(f"tensor '{name}'{problem}")


def _check_numbers(name: str, tensor: TensorPlan, layout: tuple[int, ...]) -> None:
    """Check that there are as many ends of ranges, and channel scales, as channels."""
    if tensor.layout != layout:
        _refuse(f"tensor '{name}' has the layout {list(tensor.layout)}, not {list(layout)}")
    count = int(np.prod(layout))
    for key in ("low", "high", "channel_scale"):
        numbers: Numbers | None = getattr(tensor, key)
        if numbers is not None and (len(numbers) != count or not np.isfinite(numbers).all()):
            _refuse(
                f"tensor '{name}': {key} has {len(numbers)} numbers: give one for all channels, or "
                f"{count}, one for each"
            )


def _check_zero(name: str, tensor: TensorPlan) -> None:
    """Check that 0 is in every range, and the grid has room on both sides of its zero point."""
    if not 0 <= tensor.zero <= 1:
        _refuse(
            f"tensor '{name}': zero is {tensor.zero}, a share of the grid from 0 to 1; leave it "
            "out to put it where the range says"
        )

    low, high, zero = min(tensor.low), max(tensor.high), zero_point(tensor)
    if max(tensor.low) > 0 or min(tensor.high) < 0:
        _refuse(f"tensor '{name}': the range of every channel must contain 0, low to high")
    if (low < 0 and zero == 0) or (high > 0 and zero == 2**tensor.bits - 1):
        _refuse(
            f"tensor '{name}': zero {tensor.zero:.4g} leaves no room for {low:.4g} to {high:.4g}; "
            "leave it out to put it where the range says"
        )


def _check_own_scales(name: str, tensor: TensorPlan) -> None:
    if tensor.alpha is not None and tensor.channel_scale is not None:
        _refuse(f"tensor '{name}' has alpha and channel_scale: give either")
    if tensor.alpha is not None and not 0 <= tensor.alpha <= 1:
        _refuse(f"tensor '{name}': alpha is {tensor.alpha}, not from 0 to 1")
    scales = tensor.channel_scale or (1.0,)
    if min(scales) < 1 / _WIDEST or max(scales) > _WIDEST:
        _refuse(f"tensor '{name}': every channel_scale must be from {1 / _WIDEST:g} to {_WIDEST:g}")


def _check_input(name: str, plan: Plan) -> None:
    """Check that the range of an input is the one that the layers behind it reckon with."""
    if name not in plan.inputs:
        _refuse(f"input '{name}' is not among inputs")
    tensor, (low, high) = plan.tensors[name], plan.inputs[name]
    spans = (np.minimum(low, 0), tensor.low), (np.maximum(high, 0), tensor.high)
    if not all(np.allclose(known, stored, rtol=1e-4) for known, stored in spans):
        _refuse(
            f"input '{name}' spans {min(low):.4g} to {max(high):.4g} in inputs, and "
            f"{min(tensor.low):.4g} to {max(tensor.high):.4g} in tensors: give both the same"
        )


def _check_grids(group: Sequence[ir.Value], plan: Plan, placement: Placement) -> None:
    by_grid: dict[int, str] = {}
    for value in group:
        name = str(value.name)
        other = by_grid.setdefault(placement.grids[value], name)
        for key in ("bits", "zero"):
            if getattr(plan.tensors[other], key) != getattr(plan.tensors[name], key):
                _refuse(f"tensors '{other}' and '{name}' share a grid: give both the same {key}")


def _check_scales(group: Sequence[ir.Value], plan: Plan, placement: Placement) -> None:
    """Check that what shares channels has the same alpha, or the same scales by hand."""
    first, names = str(group[0].name), [str(value.name) for value in group]
    alphas = {name: plan.tensors[name].alpha for name in names}
    other = next((name for name in names if alphas[name] != alphas[first]), None)
    if other is not None:
        if None in (alphas[first], alphas[other]):
            _refuse(f"'{first}' and '{other}' share channels: give both alpha or channel_scale")
        _refuse(f"tensors '{first}' and '{other}' share channels: give both the same alpha")
    if alphas[first] is None:
        _check_given_scales(group, plan, placement)


def _check_given_scales(group: Sequence[ir.Value], plan: Plan, placement: Placement) -> None:
    """Check scales by hand: what shares a channel gives it the same, and each is given."""
    given: dict[int, tuple[float, str]] = {}
    for value in group:
        classes = placement.classes[value].reshape(-1).tolist()
        scales = plan.tensors[str(value.name)].channel_scale or ()
        for number, scale in zip(classes, scales, strict=False):
            known, other = given.setdefault(number, (scale, str(value.name)))
            if known != scale:
                _refuse(
                    f"tensors '{other}' and '{value.name}' share a channel that has the "
                    f"channel_scale {known:.6g} in one and {scale:.6g} in the other"
                )
            if number in placement.pinned and scale != 1:
                _refuse(f"tensor '{value.name}' is read in real units: its channel_scale must be 1")

    for value in group:
        for channel, number in enumerate(placement.classes[value].reshape(-1).tolist()):
            if number not in given and number not in placement.pinned:
                _refuse(
                    f"tensor '{value.name}': no channel_scale is given for its channel {channel}, "
                    f"neither here nor in a tensor that shares it, and no alpha"
                )


def _check_ends(plan: Plan, placement: Placement) -> None:
    """Check steps, and that no grid that stands for a bound, as of ReLU6, passes that."""
    resolved = resolve(plan, placement)
    for value in placement.grids:
        name, stored = str(value.name), resolved.tensors[str(value.name)]
        steps = stored.grid.step * np.array(stored.channel_scale)
        if not (steps.min() > 1 / _LARGEST and steps.max() < _LARGEST):
            _refuse(f"tensor '{name}' has steps of {steps.min():.3g}: its range is no range")
        bound = placement.bound(value)
        end = float((stored.grid.qmax - stored.grid.zero_point) * steps.max())
        if bound is not None and end > bound * (1 + 1e-4):
            _refuse(
                f"tensor '{name}' never exceeds {bound:.4g}, which the end of its grid "
                f"stands for, and that would be {end:.4g}: narrow its range, or that of what "
                "shares its channels or its step"
            )


def _refuse(problem: str) -> NoReturn:
    raise PlanError(f"the plan cannot be applied: {problem}; mend it, or make a new one")
