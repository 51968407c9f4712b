"""Sizes of an open batch, followed through lists, and what follows from what a file states."""

import onnx

from small_networks import build, whole
from spiq.graph.query import dims
from spiq.io.read import read
from spiq.passes.constants import resolve_shapes
from spiq.passes.prepare import prepare


def listed() -> onnx.ModelProto:
    """A Reshape to a list that begins with the batch, as PyTorch's exporter makes it."""
    body = (
        "[z] z = Shape(x) [b0] b0 = Gather<axis=0>(z, first) [b] b = Reshape(b0, one) "
        "[s] s = Concat<axis=0>(b, rest) [r] r = Reshape(x, s) [c] y = Conv(r, w)"
    )
    constants = {"first": whole(0).reshape(()), "one": whole(-1), "rest": whole(8, 8, 12)}
    return build(body, w=(4, 8, 1, 1), **constants)


def test_a_size_in_a_list_is_followed() -> None:
    model = read(listed())
    resolve_shapes(model)
    assert [node.op_type for node in model.graph] == ["Reshape", "Conv"]
    assert dims(model.graph.node("r").outputs[0]) == [None, 8, 8, 12]


def test_what_follows_from_stated_sizes_is_known() -> None:
    """Of ``r`` nothing is inferred and a shape is stated; ``a`` is stated nothing of."""
    body = (
        "[z] z = Shape(x) [m] m = ReduceMax<keepdims=0>(x) [k] k = Cast<to=7>(m) "
        "[n] n = Mul(z, k) [r] r = Reshape(x, n) [a] a = Relu(r) [c] y = Conv(a, w)"
    )
    model = build(body, w=(4, 3, 1, 1))
    shape = ["N", 3, 16, 16]
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("r", 1, shape))
    graph = prepare(read(model)).model.graph
    assert dims(graph.node("a").outputs[0]) == [None, 3, 16, 16]
