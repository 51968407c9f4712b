import pytest

from small_mobilenet import card_path
from spiq.sweep.cells import Bits, Cell, subjects
from spiq.sweep.run import SHARE, _shares


@pytest.mark.parametrize(
    ("networks", "count", "jobs", "sizes"),
    [
        (1, 1, 2, [1]),
        (1, 6, 2, [2, 2, 2]),
        (1, 6, 1, [3, 3]),
        (3, 6, 2, [3, 3] * 3),
        (9, 6, 2, [6] * 9),
        (1, 24, 1, [8, 8, 8]),
        (2, 9, 1, [5, 4] * 2),
    ],
)
def test_shares(networks: int, count: int, jobs: int, sizes: list[int]) -> None:
    (real,) = subjects([str(card_path())])
    many = [
        Cell(subject=type(real)(**vars(real) | {"name": f"network {n}"}), method=str(i), bits=BITS)
        for n in range(networks)
        for i in range(count)
    ]
    shares = list(_shares(many, jobs))
    assert [len(share) for share in shares] == sizes
    assert max(sizes) <= SHARE
    assert sorted((x for share in shares for x in share), key=many.index) == many
    assert all(len({cell.subject for cell in share}) == 1 for share in shares)


BITS = Bits(8, 8)
