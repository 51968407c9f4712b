"""Networks whose BatchNorm was folded away are observed on synthetic images."""

import numpy as np
import onnx_ir as ir
import pytest

import spiq
from small_mobilenet import model_path
from small_networks import bn, build, norm
from spiq.config import Config
from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare
from spiq.runtime.observe import observe
from spiq.runtime.unstated import unstated
from spiq.stats.inputs.ends import shown_ends
from spiq.stats.inputs.known import input_stats
from spiq.stats.propagate import measure

GIVEN = Config(input_mean=(78.0,), input_std=(96.0,))


def folded() -> bytes:
    """The demo network as exporters write it by default."""
    return ir.to_proto(prepare(read(model_path())).model).SerializeToString()


def missing(prepared: Prepared) -> list[ir.Value]:
    return unstated(prepared, measure(prepared, input_stats(prepared, GIVEN)[0]))


def shown(prepared: Prepared) -> Prepared:
    ends = shown_ends(prepared, input_stats(prepared, GIVEN)[0])
    return observe(prepared, missing(prepared), ends)


def test_only_what_nothing_states_is_missing() -> None:
    assert not missing(prepare(read(model_path())))
    assert len(missing(prepare(read(folded())))) > 15


def test_observed_moments_are_near_the_stated_ones() -> None:
    stated = prepare(read(model_path())).stated
    observed = shown(prepare(read(folded()))).stated
    ratios = []
    for name, moments in stated.items():
        live = moments.var > 1e-6 * moments.var.max()
        ratios.append(np.median(observed[name].var[live] / moments.var[live]))
    assert len(ratios) > 15
    assert 0.2 < np.median(ratios) < 5
    assert {moments.source for moments in observed.values()} == {"synthetic"}
    assert all(np.all(moments.doubt >= 0) for moments in observed.values())


def test_the_graph_is_left_as_it_was() -> None:
    bare = prepare(read(folded()))
    outputs = [value.name for value in bare.model.graph.outputs]
    shown(bare)
    assert [value.name for value in bare.model.graph.outputs] == outputs


def test_a_network_is_observed_behind_an_operator_without_a_rule() -> None:
    """Statistics used to end there until the next BatchNorm, and its layers stayed in float."""
    body = f"c = Conv(x, w) {bn('c', 'n')} e = Asinh(n) r = Relu(e) y = Conv(r, v)"
    model = build(body, w=(8, 3, 3, 3), v=(4, 8, 3, 3), **norm("n", 8))
    assert {value.name for value in missing(prepare(read(model)))} == {"r", "y"}
    result = spiq.quantize(model, Config(input_range=((-2, 2),)))
    assert not result.report.float_layers
    assert result.report.snr_db["y"] > 20


def test_layers_carry_moments_once() -> None:
    """One layer without BatchNorm between two with it is no reason to run the network."""
    body = f"c = Conv(x, w) {bn('c', 'n')} r = Relu(n) d = Conv(r, v) e = Relu(d) y = Conv(e, u)"
    shapes = {"w": (8, 3, 3, 3), "v": (8, 8, 1, 1), "u": (8, 8, 1, 1)}
    assert not missing(prepare(read(build(body, **shapes, **norm("n", 8)))))


def test_quantizing_says_so_and_works() -> None:
    result = spiq.quantize(folded(), GIVEN)
    assert any("no BatchNorm statistics" in note for note in result.report.notes)
    assert not result.report.float_layers
    assert result.report.snr_db["logits"] > 15
    assert not any("no BatchNorm" in n for n in spiq.quantize(model_path(), GIVEN).report.notes)


def test_sums_of_products_are_observed() -> None:
    """Kernels that the network computes meet neighbours, which are no independent terms."""
    body = (
        f"c = Conv<pads=[1,1,1,1]>(x, w) {bn('c', 'n')} r = Relu(n) k = Conv(r, v) "
        "a = Reshape(k, taps) b = Concat<axis=1>(r, r, r, r) d = Reshape(b, taps) "
        "m = Mul(a, d) s = ReduceSum<keepdims=0>(m, one) y = Conv(s, u)"
    )
    model = build(
        body, w=(8, 3, 3, 3), v=(32, 8, 1, 1), u=(4, 8, 1, 1), one=np.array([1]),
        taps=np.array([0, 4, 8, 16, 16]), **norm("n", 8),
    )  # fmt: skip
    assert [value.name for value in missing(prepare(read(model)))][:1] == ["s"]


def test_products_of_branches_are_observed_though_both_are_stated() -> None:
    """Scores of what sees the same thing are no products of independent numbers: 8 dB, now 20.

    So are their shares, whose few sharp rows nothing else tells of.
    """
    branch = "c{0} = Conv(x, w{0}) " + bn("c{0}", "n{0}") + "f{0} = Reshape(n{0}, rows) "
    body = branch.format("a") + branch.format("b")
    body += "t = Transpose<perm=[0,2,1]>(fa) s = MatMul(t, fb) p = Softmax(s) y = MatMul(p, v)"
    norms = {**norm("na", 8), **norm("nb", 8)}
    shapes = {"wa": (8, 3, 3, 3), "wb": (8, 3, 3, 3), "v": (64, 4)}
    rows = np.array([1, 8, 64])
    prepared = prepare(read(build(body, inputs="float[1,3,10,10] x", rows=rows, **shapes, **norms)))
    assert {"s", "p"} <= {value.name for value in missing(prepared)}


PRODUCTS = {
    "two branches": "r = Relu(n) m = Conv(r, u) q = Mul(r, m)",
    "two branches, one of which ends at 6": "r = Clip(n, zero, six) m = Conv(r, u) q = Mul(r, m)",
    "a fifth power": "r = Relu(n) q = Pow(r, five)",
}
TOLD = {
    "a squared ReLU": "r = Relu(n) q = Pow(r, two)",
    "a tensor by itself": "r = Relu(n) q = Mul(r, r)",
    "a Sigmoid": "g = Sigmoid(n) q = Mul(n, g)",
    "a gate by another layer": "m = Conv(n, u) g = Sigmoid(m) q = Mul(n, g)",
    "a HardSwish": "b = Add(n, three) s = Clip(b, zero, six) m = Mul(n, s) q = Div(m, six)",
    "a root": "r = Relu(n) q = Pow(r, half)",
}


@pytest.mark.parametrize("middle", [*PRODUCTS.values(), *TOLD.values()], ids=[*PRODUCTS, *TOLD])
def test_products_are_observed_and_functions_of_what_is_stated_are_not(middle: str) -> None:
    """Two branches of one picture are not independent; a square is what it is made of."""
    body = "c = Conv(x, w) " + bn("c", "n") + middle + " d = Conv(q, v) y = Relu(d)"
    numbers = {"two": 2, "half": 0.5, "zero": 0, "three": 3, "five": 5, "six": 6}
    used = {
        name: np.array(number, np.float32)
        for name, number in numbers.items()
        if f" {name})" in middle or f" {name}," in middle
    }
    shapes = {"w": (8, 3, 3, 3), "v": (4, 8, 1, 1)} | (
        {"u": (8, 8, 1, 1)} if "u)" in middle else {}
    )
    prepared = prepare(read(build(body, **shapes, **norm("n", 8), **used)))
    wanted = middle in PRODUCTS.values()
    assert ("q" in {value.name for value in missing(prepared)}) == wanted
