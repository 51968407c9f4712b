"""Which inputs are indices, and of how many rows the tables are that they look up."""

import numpy as np
import pytest

import spiq
from small_networks import build
from spiq.graph.indices import integer_ends, table_rows
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


@pytest.mark.parametrize(
    ("inputs", "body", "last"),
    [
        ("int64[N,8] i", "c = Cast<to=1>(i) y = MatMul(c, w)", 1),
        ("int64[N,8] i", "d = Mul(i, two) e = Gather(table, d) y = MatMul(e, v)", None),
        ("int64[] i", "c = Cast<to=1>(i) y = Mul(c, w)", None),
    ],
    ids=["mask", "computed index", "scalar"],
)
def test_what_looks_nothing_up_is_a_mask(inputs: str, body: str, last: int | None) -> None:
    given = {"w": (8, 4), "table": (1, 16), "v": (16, 4), "two": np.array(2)}
    used = {
        name: value for name, value in given.items() if f"{name})" in body or f"({name}" in body
    }
    found = integer_ends(read(build(body, inputs=inputs, outputs="float[a,b] y", **used)).graph)
    assert {name: float(high) for name, (_, high) in found.items()} == ({"i": last} if last else {})


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        ("float[N,3,8,8] x, int64[] rate", "c = Conv(x, w) r = Cast<to=1>(rate) y = Mul(c, r)"),
        ("float[N,3,8,8] x, bool[] flag", "c = Conv(x, w) r = Cast<to=1>(flag) y = Mul(c, r)"),
        ("float[N,3,8,8] x, int64[N,1,1] kind",
         "c = Conv(x, w) k = Gather(row, kind) y = Add(c, k)"),
    ],
    ids=["scalar", "flag", "table of one row"],
)  # fmt: skip
def test_networks_with_such_inputs_are_quantized_and_timed(inputs: str, body: str) -> None:
    given = {"w": (4, 3, 3, 3), **({"row": (1, 1)} if "row" in body else {})}
    result = spiq.quantize(build(body, inputs=inputs, **given), spiq.Config(timing=True))
    assert result.report.quantized_layers == 1
