"""Operators that few networks have, between two layers: a working model, inner graphs untouched.

What has a rule carries its bounds; what has none is named, and observed, so that the layer behind
it runs on integers all the same.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import bn, build, images_for, norm, run, trained, whole
from spiq import Config, quantize
from spiq.quantized import Quantized
from spiq.runtime.snr import snr_db

pytestmark = pytest.mark.end_to_end

FRONT = f"[c] c = Conv<pads=[1,1,1,1]>(x, w1) {bn('c', 'n')}[r] r = Relu(n) "
BEHIND = "[y] y = Conv<pads=[1,1,1,1]>(o, w2)"
WEIGHTS = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), **norm("n", 8)}
RANGE = Config(input_range=((-2.118, 2.640),))

ROWS = "[q] q = Transpose<perm=[2,0,3,1]>(r) [s] s = Reshape(q, rows) "
IMAGES = "[i] i = Reshape(h, images) [o] o = Transpose<perm=[1,3,0,2]>(i) "
RNG = np.random.default_rng(4)


def random(*shape: int, size: float = 0.4) -> np.ndarray:
    return (size * RNG.standard_normal(shape)).astype(np.float32)


@dataclass(frozen=True)
class Rare:
    """What stands between ``r`` (N,8,16,16) and ``o``, and whether a rule carries it."""

    operator: str
    body: str
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    ruled: bool = False


def recurrent(operator: str, gates: int) -> Rare:
    """A recurrence over the rows of a map, as in Sequencer."""
    node = f"[t] h4, h5 = {operator}<hidden_size=8>(s, kernel, again)"
    body = f"{ROWS}{node} [h] h = Squeeze(h4, one) {IMAGES}"
    constants = {"kernel": random(1, 8 * gates, 8), "again": random(1, 8 * gates, 8)}
    sizes = {"rows": whole(16, -1, 8), "one": whole(1), "images": whole(16, -1, 16, 8)}
    return Rare(operator, body, constants | sizes)


SAMPLED = Rare(
    "GridSample",
    "[o] o = GridSample(r, grid) ",
    {"grid": RNG.uniform(-1, 1, (1, 16, 16, 2)).astype(np.float32)},
    ruled=True,
)
BRANCHES = Rare(
    "If",
    "[t] t = ReduceMax<keepdims=0>(x) [k] k = Less(t, far) [o] o = If(k) <"
    "then_branch = a () => (float[1,8,16,16] p) { p = Relu(r) }, "
    "else_branch = b () => (float[1,8,16,16] q) { q = Neg(r) }> ",
    {"far": np.array(1e3, np.float32)},
)
LOOP = Rare(
    "Loop",
    "[o] o = Loop(times, yes, r) <body = b (int64 k, bool on, float[1,8,16,16] u) => "
    "(bool going, float[1,8,16,16] v) { going = Identity(on) w = Mul(u, half) v = Tanh(w) }> ",
    {"times": np.array(2), "yes": np.array(True), "half": np.array(0.7, np.float32)},
)
SCAN = Rare(
    "Scan",
    "[z] z = Mul(r, zero) [f] f = ReduceSum<keepdims=0>(z, last) "
    "[t] e, o = Scan(f, r) <num_scan_inputs = 1, scan_input_axes = [3], scan_output_axes = [3], "
    "body = b (float[1,8,16] carry, float[1,8,16] part) => (float[1,8,16] next, float[1,8,16] out)"
    " { half = Constant<value_float=0.5>() w = Mul(carry, half) next = Add(w, part) "
    "out = Identity(next) }> ",
    {"zero": np.zeros(1, np.float32), "last": whole(3)},
)
OTHERS = [
    Rare("CumSum", "[a] a = CumSum(r, axis) [o] o = Mul(a, part) ",
         {"axis": np.array(3), "part": np.array([0.1], np.float32)}),
    Rare("MeanVarianceNormalization", "[o] o = MeanVarianceNormalization(r) ", ruled=True),
    Rare("ReduceL2", "[l] l = ReduceL2(r, one) [e] e = Add(l, eps) [o] o = Div(r, e) ",
         {"one": whole(1), "eps": np.array([0.1], np.float32)}, True),
    Rare("ReduceMax", "[l] l = ReduceMax(r, one) [o] o = Sub(r, l) ", {"one": whole(1)}, True),
    Rare("ReduceMin", "[l] l = ReduceMin(r, one) [o] o = Add(r, l) ", {"one": whole(2, 3)}, True),
    Rare("TopK", "[t] o, k = TopK<axis=3>(r, most) ", {"most": whole(5)}, True),
    Rare("ScatterND", "[g] g = Gather<axis=1>(r, two) [u] u = Transpose<perm=[1,0,2,3]>(g) "
         "[t] t = Transpose<perm=[1,0,2,3]>(r) [s] s = ScatterND(t, at, u) "
         "[o] o = Transpose<perm=[1,0,2,3]>(s) ",
         {"two": whole(5, 6), "at": whole(1, 2).reshape(2, 1)}, True),
    Rare("ScatterElements", "[u] u = Mul(r, half) [o] o = ScatterElements<axis=3>(r, at, u) ",
         {"half": np.array([0.5], np.float32),
          "at": np.broadcast_to(np.arange(16)[::-1], (1, 8, 16, 16)).copy()}, True),
]  # fmt: skip
CASES = [
    SAMPLED, BRANCHES, LOOP, SCAN, recurrent("LSTM", 4), recurrent("GRU", 3), *OTHERS
]  # fmt: skip


def quantized(rare: Rare) -> tuple[onnx.ModelProto, Quantized]:
    constants = {**WEIGHTS, **rare.constants}
    body = FRONT + rare.body + BEHIND
    model = trained(build(body, inputs="float[1,3,16,16] x", opset=18, **constants))
    return model, quantize(model, RANGE)


@pytest.mark.parametrize("rare", CASES, ids=lambda rare: rare.operator)
def test_ends_in_a_working_model(rare: Rare) -> None:
    model, result = quantized(rare)
    layers = {layer.name: layer for layer in result.report.layers}
    assert layers["c"].quantized and layers["y"].quantized
    notes = " ".join(result.report.notes)
    assert "stay in float" not in notes
    assert ("no statistics rule" not in notes) if rare.ruled else ("observed" in notes)
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 20


@pytest.mark.parametrize("rare", [BRANCHES, LOOP, SCAN], ids=lambda rare: rare.operator)
def test_inner_graphs_are_left_alone(rare: Rare) -> None:
    model, result = quantized(rare)
    made = onnx.load_from_string(result.model)
    assert bodies(made, rare.operator) == bodies(model, rare.operator)


def bodies(model: onnx.ModelProto, operator: str) -> list[list[str]]:
    """The operators of every graph inside of a node of this type, constants aside."""
    graph = ir.serde.deserialize_model(model).graph
    (node,) = (node for node in graph if node.op_type == operator)
    inner = [a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH]
    return [[one.op_type for one in body if one.op_type != "Constant"] for body in inner]


def test_a_resize_that_crops_fills_with_its_own_number() -> None:
    """What it fills with was cut off at the range of the picture: 2 dB were left."""
    middle = (
        '[o] o = Resize<mode="linear",coordinate_transformation_mode="tf_crop_and_resize",'
        "extrapolation_value=30.0>(r, roi, , sizes) "
    )
    roi = np.array([0, 0, 0.3, 0.3, 1, 1, 1.3, 1.3], np.float32)
    given = {"roi": roi, "sizes": whole(1, 8, 12, 12)}
    inputs = "float[1,3,16,16] x"
    model = trained(build(FRONT + middle + BEHIND, inputs=inputs, **WEIGHTS, **given))
    feed = images_for(model)
    made = quantize(model, RANGE).model
    assert snr_db(run(model, feed)["y"], run(made, feed)["y"]) > 25
