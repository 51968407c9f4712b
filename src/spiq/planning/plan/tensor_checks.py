"""Checks of what a plan says of tensors: each by itself, and those that have to go together."""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import onnx_ir as ir

from spiq.errors import PlanError
from spiq.graph.work import elements
from spiq.planning.placement.groups import groups
from spiq.planning.placement.values import Placement
from spiq.planning.plan.entries import Numbers, TensorPlan
from spiq.planning.plan.forms import form_problem
from spiq.planning.plan.resolve import Resolved, resolve, zero_point
from spiq.planning.plan.values import Plan

_LARGEST, _WIDEST = 1e30, 1e15
"""The largest step and channel scale: both, and what comes of them, have to fit in float32."""


def check_tensors(plan: Plan, placement: Placement) -> None:
    """Check what a plan says of tensors.

    Args:
        plan: The plan.
        placement: What it makes of the network.

    Raises:
        PlanError: It leaves out what a tensor needs, or contradicts itself.
    """
    for value, classes in placement.classes.items():
        _check_tensor(str(value.name), plan, classes.shape)
        if value.is_graph_input():
            _check_input(str(value.name), plan)
    if placement.grids:
        for group in groups(placement):
            _check_grids(group, plan, placement)
            _check_scales(group, plan, placement)
        resolved = resolve(plan, placement)
        _check_ends(resolved, placement)
        _check_means(resolved, placement)


def _check_tensor(name: str, plan: Plan, layout: tuple[int, ...]) -> None:
    """Check what a plan says of a tensor by itself, of channels laid out as ``layout``."""
    if name not in plan.tensors:
        refuse(
            f"tensor '{name}', which runs on integers now, is not among tensors: a layer that was "
            "in float when the plan was made cannot be put on integers by hand"
        )
    tensor = plan.tensors[name]
    _check_numbers(name, tensor, layout)
    _check_zero(name, tensor)
    _check_own_scales(name, tensor)
    if problem := form_problem(tensor, plan.target):
        refuse(f"tensor '{name}'{problem}")


def _check_numbers(name: str, tensor: TensorPlan, layout: tuple[int, ...]) -> None:
    """Check that there are as many ends of ranges, and channel scales, as channels."""
    if tensor.layout != layout:
        refuse(f"tensor '{name}' has the layout {list(tensor.layout)}, not {list(layout)}")
    count = int(np.prod(layout))
    for key in ("low", "high", "channel_scale"):
        numbers: Numbers | None = getattr(tensor, key)
        if numbers is not None and (len(numbers) != count or not np.isfinite(numbers).all()):
            refuse(
                f"tensor '{name}': {key} has {len(numbers)} numbers: give one for all channels, or "
                f"{count}, one for each"
            )


def _check_zero(name: str, tensor: TensorPlan) -> None:
    """Check that 0 is in every range, and the grid has room on both sides of its zero point."""
    if not 0 <= tensor.zero <= 1:
        refuse(
            f"tensor '{name}': zero is {tensor.zero}, a share of the grid from 0 to 1; leave it "
            "out to put it where the range says"
        )

    low, high, zero = min(tensor.low), max(tensor.high), zero_point(tensor)
    if max(tensor.low) > 0 or min(tensor.high) < 0:
        refuse(f"tensor '{name}': the range of every channel must contain 0, low to high")
    if (low < 0 and zero == 0) or (high > 0 and zero == 2**tensor.bits - 1):
        refuse(
            f"tensor '{name}': zero {tensor.zero:.4g} leaves no room for {low:.4g} to {high:.4g}; "
            "leave it out to put it where the range says"
        )


def _check_own_scales(name: str, tensor: TensorPlan) -> None:
    if tensor.alpha is not None and tensor.channel_scale is not None:
        refuse(f"tensor '{name}' has alpha and channel_scale: give either")
    if tensor.alpha is not None and not 0 <= tensor.alpha <= 1:
        refuse(f"tensor '{name}': alpha is {tensor.alpha}, not from 0 to 1")
    scales = tensor.channel_scale or (1.0,)
    if min(scales) < 1 / _WIDEST or max(scales) > _WIDEST:
        refuse(f"tensor '{name}': every channel_scale must be from {1 / _WIDEST:g} to {_WIDEST:g}")


def _check_input(name: str, plan: Plan) -> None:
    """Check that the range of an input is the one that the layers behind it reckon with."""
    if name not in plan.inputs:
        refuse(f"input '{name}' is not among inputs")
    tensor, (low, high) = plan.tensors[name], plan.inputs[name]
    spans = (np.minimum(low, 0), tensor.low), (np.maximum(high, 0), tensor.high)
    if not all(np.allclose(known, stored, rtol=1e-4) for known, stored in spans):
        refuse(
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
                refuse(f"tensors '{other}' and '{name}' share a grid: give both the same {key}")


def _check_scales(group: Sequence[ir.Value], plan: Plan, placement: Placement) -> None:
    """Check that what shares channels has the same alpha, or the same scales by hand."""
    first, names = str(group[0].name), [str(value.name) for value in group]
    alphas = {name: plan.tensors[name].alpha for name in names}
    other = next((name for name in names if alphas[name] != alphas[first]), None)
    if other is not None:
        if None in (alphas[first], alphas[other]):
            refuse(f"'{first}' and '{other}' share channels: give both alpha or channel_scale")
        refuse(f"tensors '{first}' and '{other}' share channels: give both the same alpha")
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
                refuse(
                    f"tensors '{other}' and '{value.name}' share a channel that has the "
                    f"channel_scale {known:.6g} in one and {scale:.6g} in the other"
                )
            if number in placement.pinned and scale != 1:
                refuse(f"tensor '{value.name}' is read in real units: its channel_scale must be 1")

    for value in group:
        for channel, number in enumerate(placement.classes[value].reshape(-1).tolist()):
            if number not in given and number not in placement.pinned:
                refuse(
                    f"tensor '{value.name}': no channel_scale is given for its channel {channel}, "
                    f"neither here nor in a tensor that shares it, and no alpha"
                )


def _check_ends(resolved: Resolved, placement: Placement) -> None:
    """Check steps, and that no grid that stands for a bound, as of ReLU6, passes that."""
    for value in placement.grids:
        name, stored = str(value.name), resolved.tensors[str(value.name)]
        steps = stored.grid.step * np.array(stored.channel_scale)
        if not (steps.min() > 1 / _LARGEST and steps.max() < _LARGEST):
            refuse(f"tensor '{name}' has steps of {steps.min():.3g}: its range is no range")
        bound = placement.bound(value)
        end = float((stored.grid.qmax - stored.grid.zero_point) * steps.max())
        if bound is not None and end > bound * (1 + 1e-4):
            refuse(
                f"tensor '{name}' never exceeds {bound:.4g}, which the end of its grid "
                f"stands for, and that would be {end:.4g}: narrow its range, or that of what "
                "shares its channels or its step"
            )


_MEANS = frozenset({"AveragePool", "GlobalAveragePool"})
_APART = 2.0**7
"""How many times as wide as a mean's step, times how many it is of, the step of these may be: from
2^8 on ONNX Runtime's kernel fails, and takes the process with it."""
_COUNT = 49
"""Numbers that a mean is of, where sizes are open."""


def _check_means(resolved: Resolved, placement: Placement) -> None:
    """Check that means are stored on steps near those of what they are means of."""
    for node in placement.integer:
        if node.op_type not in _MEANS:
            continue
        names = [
            str(value.name) for value in (node.inputs[0], node.outputs[0]) if value is not None
        ]
        steps = [resolved.tensors[name].grid.step for name in names if name in resolved.tensors]
        sizes = [
            elements(value) for value in (node.inputs[0], node.outputs[0]) if value is not None
        ]
        count = (sizes[0] or 0) / (sizes[1] or 1) or _COUNT
        if len(steps) == 2 and not 1 / _APART < steps[0] / steps[1] < _APART * max(count, 1):
            refuse(
                f"tensors '{names[0]}' and '{names[1]}', of which one is the mean of the other, "
                f"have steps of {steps[0]:.3g} and {steps[1]:.3g}: give them ranges of one kind"
            )


def refuse(problem: str) -> NoReturn:
    """Say why a plan cannot be applied.

    Raises:
        PlanError: Always.
    """
    raise PlanError(f"the plan cannot be applied: {problem}; mend it, or make a new one")
