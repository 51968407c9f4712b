"""Ranges that exceed what a tensor can be by what it is made of: they end there.

Groups are decided for themselves. Where a range passes the bounds that the stored tensors it is
made of leave it (:mod:`spiq.planning.errors.held`), steps are spent on what never comes; so in the
order of execution, such a group is decided once more within them, and nothing is clipped there.
What a tensor is made of may be of the same group, as the factors of a product on integers are.
"""

from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from spiq.planning.choose.by_group import DecidedGroup, Deciding
from spiq.planning.choose.scales import decide
from spiq.planning.errors.held import Ends, Held
from spiq.planning.plan.entries import TensorPlan
from spiq.planning.plan.resolve import resolve_group

_SLACK = 0.02
"""Part of a tensor's bounds by which ranges may pass them: 0.2 dB."""


def narrowed(
    known: Deciding, decided: Mapping[Hashable, DecidedGroup]
) -> dict[Hashable, DecidedGroup]:
    """Decide groups once more of which a range passes its bounds.

    Args:
        known: What decisions rest on.
        decided: What was decided of each group, those in front first.

    Returns:
        What is decided of these groups in place of that, by the same names.
    """
    held = Held(known.errors.placement, known.errors.measured)
    for one in decided.values():
        held.ends.update(_ends(known, one))
    found = dict[Hashable, DecidedGroup]()
    for same, one in decided.items():
        plans, cost = one
        bounds = {v: ends for v in cost.values if (ends := held.bounds(v)) is not None}
        if any(_passes(plans[str(value.name)], *ends) for value, ends in bounds.items()):
            found[same] = _within(known, one, bounds)
            held.ends.update(_ends(known, found[same]))
    return found


def _ends(known: Deciding, one: DecidedGroup) -> dict[ir.Value, Ends]:
    """Return what the tensors of a group can hold."""
    plans, cost = one
    stored = resolve_group(cost.values, plans, known.errors.placement, known.target.grids)
    return {value: stored[str(value.name)].ends for value in cost.values}


def _passes(plan: TensorPlan, low: np.ndarray, high: np.ndarray) -> bool:
    """Return whether the range of any channel passes bounds of the whole tensor's channels."""
    below, above = np.minimum(low, 0).reshape(-1), np.maximum(high, 0).reshape(-1)
    slack = _SLACK * (above - below)
    wider = (np.array(plan.high) > above + slack) | (np.array(plan.low) < below - slack)
    return bool(wider.any())


def _within(known: Deciding, one: DecidedGroup, bounds: Mapping[ir.Value, Ends]) -> DecidedGroup:
    """Decide a group within bounds of its tensors; what has one scale for all keeps to that."""
    plans, cost = one
    group, method = known.group(cost.values), known.method
    tensors = [t.within(*bounds[t.value]) if t.value in bounds else t for t in group.tensors]
    group = replace(group, tensors=tensors)
    if all(plan.alpha == 0 for plan in plans.values()):
        method = replace(method, alphas=(0.0,))
    return known.written(cost.values, group, decide(group, method))
