"""Turns by way of a flat stack, as PyTorch's exporter writes attention with an open batch."""

import numpy as np
import onnx
import pytest

from small_networks import bn, build, images_for, norm, optimized, run, trained, whole
from spiq import Config, quantize
from spiq.io.read import read
from spiq.passes.constants import resolve_shapes
from spiq.passes.turns import plain_turns
from spiq.runtime.snr import snr_db
from spiq.stats.axes import channel_axes

WEIGHTS = {"w1": (32, 3, 3, 3), "w2": (8, 32, 1, 1), **norm("n", 32)}
LISTS = {
    **{"one": whole(1), "first": np.array(0), "heads": whole(4), "eight": whole(8)},
    **{"flat": whole(-1, 64, 8), "back": whole(4, 8, 64), "many": whole(64)},
    **{"maps": whole(0, 32, 8, 8)},
}
FRONT = f"[c] c = Conv<strides=[2,2],pads=[1,1,1,1]>(x, w1) {bn('c', 'n')}[r] r = Relu(n) "
SIZES = (
    "[z] z = Shape(x) [b0] b0 = Gather<axis=0>(z, first) [b] b = Reshape(b0, one) "
    "[s4] s4 = Concat<axis=0>(b, heads, eight, many) [p] p = Reshape(r, s4) "
    "[k] k = Transpose<perm=[0,1,3,2]>(p) "
)
TURN = (
    "[f] f = Reshape(k, flat) [t] t = Transpose<perm=[0,2,1]>(f) "
    "[s5] s5 = Concat<axis=0>(b, back) [kt] kt = Reshape(t, s5) "
)
ATTENTION = (
    "[l] l = MatMul(k, kt) [a] a = Softmax<axis=-1>(l) [v] v = MatMul(a, k) "
    "[u] u = Transpose<perm=[0,1,3,2]>(v) [m] m = Reshape(u, maps) [y] y = Conv(m, w2)"
)


def attention() -> onnx.ModelProto:
    return trained(build(FRONT + SIZES + TURN + ATTENTION, **WEIGHTS, **LISTS))


def test_heads_beside_an_open_batch_are_turned_at_once() -> None:
    model = read(attention())
    resolve_shapes(model)
    assert plain_turns(model) == 1
    operators = [node.op_type for node in model.graph]
    assert operators.count("Reshape") == 2 and "Shape" not in operators
    axes = {value.name: own for value, own in channel_axes(model.graph).items()}
    assert (axes["k"], axes["kt"], axes["m"]) == ((1, 3), (1, 2), (1,))


@pytest.mark.end_to_end
def test_all_of_it_runs_on_integers() -> None:
    model = attention()
    result = quantize(model, Config(input_range=((-2.118, 2.640),)))
    assert not result.report.float_layers
    kernels = optimized(result.model)
    assert not kernels["Shape"] and not kernels["MatMul"] and not kernels["FusedMatMul"]
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 20


def test_another_order_is_no_turn() -> None:
    model = attention()
    (turn,) = (node for node in model.graph.node if node.name == "t")
    turn.attribute[0].ints[:] = [2, 1, 0]
    graph = read(model)
    resolve_shapes(graph)
    assert plain_turns(graph) == 0
