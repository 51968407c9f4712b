"""Groups of stored tensors that share neither a grid nor a channel scale with any other group."""

import numpy as np
import onnx_ir as ir

from spiq.planning.placement.components import components
from spiq.planning.placement.values import Placement


def groups(placement: Placement) -> list[list[ir.Value]]:
    """Split the stored tensors of a placement into groups, which are decided apart."""
    values = list(placement.grids)
    if not values:
        return []
    members = [placement.classes[value].reshape(-1) for value in values]
    count = 1 + max(int(array.max()) for array in members)
    tensor = [np.full(array.shape, count + index) for index, array in enumerate(members)]
    grids = np.array([placement.grids[value] for value in values])
    own = np.arange(len(values)) + count
    names = components(count + len(values), [*members, own], [*tensor, count + grids])
    found: dict[int, list[ir.Value]] = {}
    for index, value in enumerate(values):
        found.setdefault(int(names[count + index]), []).append(value)
    return list(found.values())
