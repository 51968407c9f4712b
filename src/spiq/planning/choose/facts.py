"""What tells whether a group of tensors has to be decided anew under another placement."""

from collections.abc import Hashable, Sequence

import numpy as np
import onnx_ir as ir

from spiq.planning.choose.bits import Bits
from spiq.planning.placement.values import Placement
from spiq.planning.plan.derive import held_at_one


def facts(values: Sequence[ir.Value], placement: Placement, bits: Bits) -> Hashable:
    """Return all that the decision on a group of tensors depends on and placements differ in.

    Grids and classes count from 0 in each group: their numbers differ from placement to placement.

    Args:
        values: The group.
        placement: What runs on integers.
        bits: Of the tensors, and of the layers that read them.
    """
    classes = np.concatenate([placement.classes[value].reshape(-1) for value in values])
    grids = [placement.grids[value] for value in values]
    nodes = [node for value in values for node in (value.producer(), *value.consumers())]
    return (
        tuple(values),
        tuple(bits.tensors[value] for value in values),
        np.unique(classes, return_inverse=True)[1].tobytes(),
        held_at_one(classes, placement.pinned).tobytes(),
        np.unique(grids, return_inverse=True)[1].tobytes(),
        tuple(
            (node, node in placement.integer, node in placement.absorbed, bits.layers.get(node))
            for node in nodes
            if node is not None
        ),
    )
