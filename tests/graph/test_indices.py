"""Which inputs are indices, and of how many rows the tables are that they look up."""

import numpy as np
import pytest

from small_networks import build
from spiq.graph.indices import table_rows
from spiq.io.read import read


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ("e = Gather(table, i) y = MatMul(e, w)", 50),
        ("c = Cast<to=7>(i) t = Transpose(c) e = Gather(table, t) y = MatMul(e, w)", 50),
        ("s = Add(i, shift) e = Gather(table, s) y = MatMul(e, w)", 40),
        ("a = Gather(table, i) b = Gather(short, i) e = Add(a, b) y = MatMul(e, w)", 20),
        ("c = Cast<to=1>(i) y = MatMul(c, wide)", None),
        ("g = Gather(ids, i) e = Gather(table, g) y = MatMul(e, w)", 7),
    ],
    ids=["plain", "turned", "shifted", "two tables", "numbers", "indices of indices"],
)
def test_rows_of_the_shortest_table(body: str, rows: int | None) -> None:
    shift, ids = np.array([0, 10] * 4, np.int64), np.arange(7)
    given = {"table": (50, 16), "short": (20, 16), "w": (16, 4), "wide": (8, 4)}
    used = {name: shape for name, shape in given.items() if name in body}
    constants = {"shift": shift} if "shift" in body else {"ids": ids} if "ids" in body else {}
    model = build(body, inputs="int64[N,8] i", **used, **constants)
    assert table_rows(read(model).graph) == ({} if rows is None else {"i": rows})
