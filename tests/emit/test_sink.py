"""Channel scales that are given back behind movers: the same numbers, and bytes that are moved."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import build, images_for, run, whole
from spiq.emit.sink import sink_scales
from spiq.graph.shapes import infer

STEP = {"step": np.array(0.05, np.float32), "zero": np.array(128, np.uint8)}
STORED = "[q] q = QuantizeLinear(x, step, zero) [d] d = DequantizeLinear(q, step, zero) "
SIGMA = np.arange(1, 9, dtype=np.float32).reshape(1, 8, 1, 1)
TOKENS = "[r] r = Reshape(m, flat) [t] t = Transpose<perm=[0,2,1]>(r) "
FLAT = {"flat": whole(0, 8, 256), "heads": whole(0, 2, 4, 256), "halves": whole(4, 4)}
FLAT |= {"one": whole(1), "two": whole(2), "all": whole(*range(8))}


def network(body: str) -> onnx.ModelProto:
    used = {name: array for name, array in FLAT.items() if name in body}
    whole_body = f"{STORED}[m] m = Mul(d, sigma) {body}"
    return build(whole_body, inputs="float[N,8,16,16] x", sigma=SIGMA, **STEP, **used)


def sunk(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str], int]:
    """Return the network with its scales sunk, its operators, and how many scales moved."""
    graph = ir.serde.deserialize_model(model)
    infer(graph)
    moved = sink_scales(graph.graph)
    operators = [node.op_type for node in graph.graph]
    return ir.serde.serialize_model(graph), operators, moved


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[ab] a, b = Split<axis=1>(m, halves) [s] s = Relu(a) [t] t = Sigmoid(b) "
         "[y] y = Mul(s, t)",
         ["Split", "Mul", "Mul", "Relu", "Sigmoid", "Mul"]),
        ("[a] a = Gather<axis=1>(m, one) [b] b = Gather<axis=1>(m, two) [y] y = Mul(a, b)",
         ["Gather", "Mul", "Gather", "Mul", "Mul"]),
        (TOKENS + "[y] y = Relu(t)", ["Reshape", "Transpose", "Mul", "Relu"]),
        ("[r] r = Reshape(m, heads) [t] t = Transpose<perm=[0,1,3,2]>(r) [y] y = Relu(t)",
         ["Reshape", "Transpose", "Mul", "Relu"]),
        ("[t] t = Transpose<perm=[0,2,3,1]>(m) [a] a = Relu(t) [y] y = Relu(a)",
         ["Transpose", "Mul", "Relu", "Relu"]),
    ],
)  # fmt: skip
def test_movers_come_first(body: str, expected: list[str]) -> None:
    model = network(body)
    after, operators, moved = sunk(model)
    assert moved == 1 and operators[2:] == expected
    feed = images_for(model, 2)
    np.testing.assert_array_equal(run(model, feed)["y"], run(after, feed)["y"])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("[r] r = Reshape(m, flat) [a] a = Relu(r) [b] y = Sigmoid(m)", id="others"),
        pytest.param("[r] r = Relu(m) [t] y = Transpose<perm=[0,2,3,1]>(r)", id="no mover"),
        pytest.param("[t] y = Transpose<perm=[0,2,3,1]>(m)", id="output"),
        pytest.param(
            "[a] a = Gather<axis=1>(m, all) [b] b = Gather<axis=1>(m, one) [y] y = Mul(a, b)",
            id="more than there is",
        ),
    ],
)
def test_scales_stay_where_they_cannot_pass(body: str) -> None:
    _, operators, moved = sunk(network(body))
    assert moved == 0 and operators[2] == "Mul"
