"""Networks in the runtime, a part at a time: the same numbers as from one session."""

import numpy as np
import onnx
import pytest

from small_networks import build, images_for, run
from spiq.io.read import read
from spiq.runtime.parts import parted

BODY = (
    "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) [r] r = Relu(c1) [c2] c2 = Conv(r, w2) "
    "[s] s = Add(c2, r) [c3] y = Conv(s, w3)"
)


def network() -> onnx.ModelProto:
    shapes = {"w1": (32, 3, 3, 3), "w2": (32, 32, 1, 1), "w3": (32, 32, 1, 1)}
    return build(BODY, **shapes)


@pytest.mark.parametrize("size", [1, 9000, 1 << 20])
def test_parts_compute_what_the_whole_does(size: int) -> None:
    model = network()
    feeds = [images_for(model, 2), images_for(model, 1)]
    cut = parted(read(model), size=size)
    assert len(cut.parts) == {1: 3, 9000: 2, 1 << 20: 1}[size]
    for feed, found in zip(feeds, cut.outputs(feeds), strict=True):
        np.testing.assert_array_equal(found["y"], run(model, feed, optimize=False)["y"])


def test_tensors_inside_are_seen_once_each() -> None:
    model = network()
    feeds = [images_for(model, 1)] * 3
    found: dict[str, list[int]] = {}
    for number, tensors in parted(read(model), ["r", "x", "s"], size=1).through(feeds):
        for name in tensors:
            found.setdefault(name, []).append(number)
    assert found == {"x": [0, 1, 2], "r": [0, 1, 2], "s": [0, 1, 2]}


def test_what_is_not_wanted_does_not_run() -> None:
    cut = parted(read(network()), ["r"], size=1)
    assert [node.op_type for part in cut.parts for node in part.nodes] == ["Conv", "Relu"]


def test_it_says_what_goes_in_and_out() -> None:
    cut = parted(read(network()))
    (given,), (made,) = cut.get_inputs(), cut.get_outputs()
    assert (given.name, given.type, given.shape) == ("x", "tensor(float)", ["N", 3, 16, 16])
    assert made.name == "y"


def test_a_weight_of_two_parts_and_one_that_a_branch_reads() -> None:
    body = (
        "[c1] c1 = Conv(x, w) [c2] c2 = Conv(c1, w) [l] l = ReduceSum<keepdims=0>(c2) "
        "[z] z = Greater(l, zero) [i] y = If(z) <"
        "then_branch = a () => (float[N,32,16,16] p) { p = Conv(c1, w) }, "
        "else_branch = b () => (float[N,32,16,16] q) { q = Identity(c2) }>"
    )
    zero = np.array(0, np.float32)
    model = build(body, inputs="float[N,32,16,16] x", w=(32, 32, 1, 1), zero=zero)
    feed = images_for(model, 1)
    (found,) = parted(read(model), size=1).outputs([feed])
    np.testing.assert_array_equal(found["y"], run(model, feed, optimize=False)["y"])
