"""Zero points that move to the middle of their grid, where another one takes time.

Where a layer pads, zeros stand beside what it reads, and a kernel that multiplies integers as they
are has to take sums of the weight off at each edge, a sum for each kind of edge. Around a zero
point of 0 there is nothing to take off: OpenVINO's first layers of five networks take 0.66 to 0.89
of the time then. So where zero does not lie at an end of the grid (behind a ReLU it does), it goes
to the middle, those grids first that lose least by it, as long as the error expected at the
network's outputs rises by no more than ``SPENT`` of all of it.

Depthwise layers gain 0.06 of their time, 0.01 of EfficientNet-B0's, whose SiLUs would lose half of
their levels and the network 0.4 dB: theirs stay.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import onnx_ir as ir

from spiq.graph.query import ints
from spiq.planning.choose.group import Group, Scaled
from spiq.planning.placement.values import Placement
from spiq.stats.rules.linear import pads_itself

SPENT = 0.02
"""Of the error expected, a tenth of a decibel. Checked by the SNR of seven networks, which lose 0.0
to 0.3 dB (docs/targets.md); none was left out."""

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Centred(Generic[Choice]):
    """A group of tensors whose zero points may move.

    Attributes:
        choice: What is decided of it with zero points in the middle.
        costs: By how much the error expected is more.
    """

    choice: Choice
    costs: float


def is_off_centre(
    values: Sequence[ir.Value], placement: Placement, group: Group, scaled: Scaled
) -> bool:
    """Return whether a layer that pads reads a grid with its zero neither at an end nor amidst."""
    return any(
        scaled.zero_points[placement.grids[value]] not in (0, (most + 1) // 2)
        for value in values
        if (most := group.qmax[placement.grids[value]]) and _is_padded(value, placement)
    )


def _is_padded(value: ir.Value, placement: Placement) -> bool:
    """Return whether a layer on integers, not depthwise, pads a tensor."""
    return any(
        any(ints(node, "pads", [0])) or pads_itself(node)
        for node in value.consumers()
        if node.op_type == "Conv" and node in placement.integer and not _has_groups(node)
    )


def _has_groups(node: ir.Node) -> bool:
    return node.attributes.get_int("group", 1) > 1


def centred(group: Group) -> Group:
    """Return the group with all zero points in the middle."""
    return replace(group, form=replace(group.form, symmetric=True))


def move(movable: Mapping[Hashable, Centred[Choice]], error: float) -> dict[Hashable, Choice]:
    """Return the groups whose zero points go to the middle, and what is then decided of them.

    Args:
        movable: Those that might, by a name.
        error: That expected of all groups as they are.
    """
    left, moved = SPENT * error, dict[Hashable, Choice]()
    for name, one in sorted(movable.items(), key=lambda item: item[1].costs):
        left -= one.costs
        if left >= 0:
            moved[name] = one.choice
    return moved
