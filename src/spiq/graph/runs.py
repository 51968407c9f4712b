"""Two shapes of one tensor, before and after a Reshape, split into runs of equal size."""

import math

Sizes = list[int | None]


def runs(before: Sizes, after: Sizes) -> list[tuple[Sizes, Sizes]] | None:
    """Split two shapes of one tensor into the shortest runs that hold equally many elements.

    Two unknown sizes in the same place are taken for one, as of a batch, unless sizes are left over
    in the end. Where an unknown size keeps runs from being told apart, what is equal at the end is
    a run each, and all before it is one.

    >>> runs([None, 50, 64], [None, 64])
    [([None, 50], [None]), ([64], [64])]
    >>> runs([None, 64, 64], [None, 64])
    [([None, 64], [None]), ([64], [64])]
    """
    groups: list[tuple[Sizes, Sizes]] = []
    i = j = 0
    while i < len(before) and j < len(after):
        ends = _run(before[i:], after[j:])
        if ends is None:
            return _with_equal_ends(groups, before[i:], after[j:])
        groups.append((before[i : i + ends[0]], after[j : j + ends[1]]))
        i, j = i + ends[0], j + ends[1]

    left = [*before[i:], *after[j:]]
    unknown = bool(groups) and None in (*groups[-1][0], *groups[-1][1])
    if not unknown and any(size != 1 for size in left):
        # as many tokens as channels: what is equal at the end are the channels
        return _with_equal_ends([], before, after) if None in before and None in after else None
    if groups:
        groups[-1] = (groups[-1][0] + before[i:], groups[-1][1] + after[j:])
    return groups


def _with_equal_ends(
    groups: list[tuple[Sizes, Sizes]], before: Sizes, after: Sizes
) -> list[tuple[Sizes, Sizes]]:
    """Add one run for what cannot be told apart, and one for each size that is equal at the end."""
    equal = 0
    for size, other in zip(before[::-1], after[::-1], strict=False):
        if size is None or size != other:
            break
        equal += 1
    old, new = before[: len(before) - equal], after[: len(after) - equal]
    if groups and not (old and new):
        groups[-1] = (groups[-1][0] + old, groups[-1][1] + new)
    elif not (old and new):
        return [(before, after)]
    else:
        groups.append((old, new))
    _join_unequal(groups)
    return [*groups, *(([size], [size]) for size in before[len(before) - equal :])]


def _join_unequal(groups: list[tuple[Sizes, Sizes]]) -> None:
    """Join the last run, if its sizes are known not to be equal, to those before, in place.

    Then what was taken for one unknown size is two, as where windows or heads become images:
    ``(B h, 64, 256)`` and ``(B, 64 h, 16, 16)``.
    """
    old, new = groups[-1]
    if None in (*old, *new) or _product(old) == _product(new):
        return
    while len(groups) > 1 and None not in groups[-1][0]:
        (*_, (before, after)), (old, new) = groups[:-1], groups[-1]
        groups[-2:] = [(before + old, after + new)]


def _product(sizes: Sizes) -> int:
    return math.prod(size for size in sizes if size is not None)


def _run(before: Sizes, after: Sizes) -> tuple[int, int] | None:
    """Return how many sizes of either shape the first run takes; None if sizes are unknown."""
    if before[0] is None and after[0] is None:
        return 1, 1
    if before[0] is None or after[0] is None:
        return None
    left, right, i, j = before[0], after[0], 1, 1
    while left != right:
        grow_old = left < right
        side, at = (before, i) if grow_old else (after, j)
        size = side[at] if at < len(side) else None
        if size is None:
            return None
        if grow_old:
            left, i = left * size, i + 1
        else:
            right, j = right * size, j + 1
    return i, j
