"""Connected components of a graph of integers, on whole arrays."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


def components(count: int, first: Sequence[Ids], second: Sequence[Ids]) -> Ids:
    """Return for each of ``0 .. count - 1`` the least number of its component.

    Args:
        count: How many numbers there are.
        first: Arrays of numbers; each entry is joined with the same entry of ``second``.
        second: Arrays of the same shapes as those of ``first``.
    """
    root = np.arange(count, dtype=np.int64)
    if not first:
        return root
    a = np.concatenate([array.reshape(-1) for array in first])
    b = np.concatenate([array.reshape(-1) for array in second])
    while True:
        low, high = np.minimum(root[a], root[b]), np.maximum(root[a], root[b])
        apart = low != high
        if not apart.any():
            return root
        np.minimum.at(root, high[apart], low[apart])
        while not np.array_equal(root, root[root]):
            root = root[root]
