"""Slices of all and scatters over all go; those that change something stay."""

import numpy as np
import onnx_ir as ir
import pytest

from small_networks import build, images_for, run, trained, whole
from spiq.io.read import read
from spiq.passes.prepare import prepare

STEM = "[c] c = Conv<pads=[1,1,1,1]>(x, w) [d] d = Conv<pads=[1,1,1,1]>(x, v) "
COUNT = "[h] h = Shape(c) [n] n = Gather(h, zero) [r] r = Range(START, n, one) "
NUMBERS = {
    "zero": np.array(0), "one": np.array(1), "last": whole(-1), "first": whole(0),
    "axis": whole(1), "step": whole(1), "eight": whole(8), "seven": whole(7),
    "endless": whole(2**63 - 1), "pairs": np.array([[0], [1]]), "turned": np.array([[1], [0]]),
    "second": whole(2), "at": np.array([[0]]),
}  # fmt: skip


def operators(body: str, batch: str = "N") -> list[str]:
    """Those of the prepared network, which computes what the network did."""
    used = {key: value for key, value in NUMBERS.items() if f"{key})" in body or f"{key}," in body}
    inputs = f"float[{batch},3,16,16] x"
    weights = {name: (8, 3, 3, 3) for name in ("w", "v") if f"(x, {name})" in body}
    model = trained(build(body, inputs=inputs, **weights, **used))
    feed = images_for(model)
    made = ir.serde.serialize_model(prepare(read(model)).model)
    np.testing.assert_allclose(run(made, feed)["y"], run(model, feed)["y"], rtol=1e-5, atol=1e-5)
    return [node.op_type for node in made.graph.node]


@pytest.mark.parametrize(
    "cut",
    ["Slice(c, first, eight, axis, step)", "Slice(c, first, endless, axis)",
     "Slice(c, first, endless)"],
)  # fmt: skip
def test_a_slice_of_all(cut: str) -> None:
    assert "Slice" not in operators(f"[c] c = Conv(x, w) [s] s = {cut} [y] y = Relu(s)")


@pytest.mark.parametrize(
    "cut",
    ["Slice(c, first, seven, axis, step)", "Slice(c, axis, endless, axis)",
     "Slice(c, first, eight, axis, second)"],
)  # fmt: skip
def test_a_slice_of_less(cut: str) -> None:
    assert "Slice" in operators(f"[c] c = Conv(x, w) [s] s = {cut} [y] y = Relu(s)")


def test_a_sum_in_place() -> None:
    body = (
        f"{STEM}[s] s = Slice(c, first, eight, axis) [a] a = Add(s, d) {COUNT}"
        "[q] q = Slice(r, first, endless) [u] u = Unsqueeze(q, last) "
        "[k] k = ScatterND(c, u, a) [y] y = Relu(k)"
    ).replace("START", "zero")
    assert operators(body) == ["Conv", "Conv", "Add", "Relu"]


def test_of_a_known_batch() -> None:
    body = f"{STEM}[k] k = ScatterND(c, pairs, d) [y] y = Relu(k)"
    assert operators(body, batch="2") == ["Conv", "Relu"]


@pytest.mark.parametrize(
    "scatter",
    ["ScatterND(c, turned, d)", 'ScatterND<reduction="add">(c, pairs, d)'],
)
def test_what_orders_or_adds_stays(scatter: str) -> None:
    body = f"{STEM}[k] k = {scatter} [y] y = Relu(k)"
    assert "ScatterND" in operators(body, batch="2")


def test_a_scatter_to_the_first_only_stays() -> None:
    body = f"{STEM}[o] o = Slice(d, first, step, first) [k] k = ScatterND(c, at, o) [y] y = Relu(k)"
    assert "ScatterND" in operators(body, batch="2")
