"""Connected components on arrays, against a union-find one pair at a time."""

import numpy as np
import pytest

from spiq.planning.placement.components import components


def naive(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    root = list(range(count))

    def find(a: int) -> int:
        while root[a] != a:
            a = root[a]
        return a

    for a, b in pairs:
        a, b = find(a), find(b)
        root[max(a, b)] = min(a, b)
    return [find(a) for a in range(count)]


@pytest.mark.parametrize("count", [1, 2, 10, 200])
@pytest.mark.parametrize("seed", range(6))
def test_same_components_as_union_find(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, count, (2, 2 * seed, 5))
    pairs = list(zip(first.reshape(-1).tolist(), second.reshape(-1).tolist(), strict=True))
    found = components(count, list(first), list(second))
    assert found.tolist() == naive(count, pairs)


def test_a_long_chain_in_any_order_is_one_component() -> None:
    order = np.random.default_rng(0).permutation(500)
    assert not components(501, [order], [order + 1]).any()


def test_arrays_of_any_shape_and_nothing_to_join() -> None:
    assert components(3, [], []).tolist() == [0, 1, 2]
    grid = np.array([[0, 1], [2, 3]])
    assert components(4, [grid, np.array([], int)], [grid[::-1], np.array([], int)]).tolist() == [
        0,
        1,
        0,
        1,
    ]
