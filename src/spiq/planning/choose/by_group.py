"""What is decided of each group of tensors: one by one, or together where none can be alone."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from spiq.methods.method import Method
from spiq.planning.choose.bits import Bits
from spiq.planning.choose.coupled import settle
from spiq.planning.choose.facts import facts
from spiq.planning.choose.given_up import Dear, gated, give_up, is_dear, multiplied
from spiq.planning.choose.group import Group, Scaled, sums_within
from spiq.planning.choose.relief import Cost, cost_of
from spiq.planning.choose.scales import decide
from spiq.planning.choose.tensor_plans import planned_tensors
from spiq.planning.choose.worth import worth
from spiq.planning.errors.network_errors import NetworkErrors
from spiq.planning.placement.groups import groups
from spiq.planning.placement.values import is_layer
from spiq.planning.plan.entries import TensorPlan
from spiq.targets import Target

DecidedGroup = tuple[Mapping[str, TensorPlan], Cost]
"""What the plan says of the tensors of a group, by name, and the error expected of them."""


@dataclass(frozen=True)
class Deciding:
    """All that the decisions of a network rest on.

    Attributes:
        errors: What errors depend on.
        bits: How many each tensor and each layer has.
        method: The choices that there are.
        target: The runtime.
    """

    errors: NetworkErrors
    bits: Bits
    method: Method
    target: Target

    def group(self, values: Sequence[ir.Value]) -> Group:
        """Return a group with all that its errors depend on; layers are large."""
        placement, form = self.errors.placement, self.target.weights
        readers = [node for value in values for node in value.consumers()]
        if not form.per_channel:  # then what writes them has to do with their scales, too
            writes = placement.stored_output
            readers += [n for n in placement.integer if writes(n.outputs[0]) in values]
        return Group(
            tensors=[self.errors.tensor(value) for value in values],
            layers=[
                self.errors.weight(node, self.bits.layers[node], form)
                for node in dict.fromkeys(readers)
                if node in placement.integer and is_layer(node)
            ],
            sums=sums_within(values, placement),
            pinned=placement.pinned,
            bits={placement.grids[value]: self.bits.tensors[value] for value in values},
            worth=worth(values, placement),
            form=self.target.grids,
        )

    def written(self, values: Sequence[ir.Value], group: Group, scaled: Scaled) -> DecidedGroup:
        """Write down all of it; the group's arrays are as large as weights, and may go."""
        plans = planned_tensors(group, scaled, self.errors.placement)
        return plans, cost_of(values, group, scaled, self.errors)


def one_by_one(
    known: Deciding, of_all: float, before: Mapping[Hashable, DecidedGroup]
) -> dict[Hashable, DecidedGroup]:
    """Decide each group for itself; one of which nothing else was decided stays as it was.

    Args:
        known: What decisions rest on.
        of_all: The work of the network.
        before: What was decided of groups of this very network by the same options.

    Returns:
        What was decided of each group, by all that it depends on.
    """
    placement, method = known.errors.placement, known.method
    decided: dict[Hashable, DecidedGroup] = {}
    dear: dict[Hashable, Dear[DecidedGroup]] = {}
    for values in groups(placement):
        same = facts(values, placement, known.bits)
        if same in before:
            decided[same] = before[same]
            continue
        group = known.group(values)
        scaled = decide(group, method)
        decided[same] = known.written(values, group, scaled)
        by_gates = gated(values, placement)
        elements = by_gates or multiplied(values, placement, known.target)
        if is_dear(elements, of_all) and scaled.alpha > 0 and 0 in method.alphas:
            plain = decide(group, replace(method, alphas=(0.0,)))
            one_scale = known.written(values, group, plain)
            dear[same] = Dear(one_scale, plain.cost - scaled.cost, elements, by_gates > 0)
    error = sum(cost.error for _, cost in decided.values())
    return decided | give_up(dear, error, of_all)


def together(known: Deciding) -> dict[Hashable, DecidedGroup]:
    """Decide all groups where a layer's error depends on the scales of two of them."""
    every = {tuple(values): known.group(values) for values in groups(known.errors.placement)}
    settled = settle(list(every.values()), known.method)
    return {
        values: known.written(values, group, scaled)
        for (values, group), scaled in zip(every.items(), settled, strict=True)
    }
