"""Which axes of a tensor a Reshape turns into which."""

import pytest

from spiq.graph.runs import Sizes, runs


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([None, 3, 4], [None, 4, 3], [([None], [None]), ([3, 4], [4, 3])]),
        ([None, 8, 49, 32], [None, 49, 32], [([None, 8], [None]), ([49], [49]), ([32], [32])]),
        ([None, 49, 49], [None, 49], [([None, 49], [None]), ([49], [49])]),
        ([2, 6], [3, 4], [([2, 6], [3, 4])]),
    ],
)
def test_runs_hold_equally_many_elements(
    before: Sizes, after: Sizes, expected: list[tuple[Sizes, Sizes]]
) -> None:
    assert runs(before, after) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([None, 64, 256], [None, 512, 16, 16]),
        ([None, 512, 16, 16], [None, 64, 256]),
        ([2, None, 64, 256], [2, None, 512, 16, 16]),
    ],
)
def test_heads_beside_the_batch_are_another_size(before: Sizes, after: Sizes) -> None:
    """(B h, 64, 256) and (B, 64 h, 16, 16): what is unknown is not the same."""
    found = runs(before, after)
    assert found is not None
    assert found[-1] == (before[before.index(None) :], after[after.index(None) :])
