"""Norms and bounds of what layers make side by side go to the parts, and fold into them."""

import numpy as np
import onnx_ir as ir
import pytest

from small_networks import Tensors, bn, build, images_for, norm, optimized, run, trained
from spiq import Config, quantize
from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare
from spiq.runtime.snr import snr_db

PARTS = "[a] a = Conv<pads=[1,1,1,1]>(x, wa) [b] b = Conv<pads=[2,2,2,2]>(x, wb) "
JOINED = PARTS + "[k] k = Concat<axis=1>(a, b) " + bn("k", "n")
LAST = "[o] y = Conv(r, wo)"
WEIGHTS = {"wa": (6, 3, 3, 3), "wb": (4, 3, 5, 5), "wo": (4, 10, 1, 1)}


def prepared(body: str, outputs: str = "y", **constants: np.ndarray) -> Prepared:
    """The network, prepared; it computes what it did."""
    used: Tensors = {name: shape for name, shape in WEIGHTS.items() if f" {name})" in body}
    model = trained(build(body, outputs=outputs, **used, **norm("n", 10), **constants))
    feed = images_for(model)
    found = prepare(read(model))
    made = run(ir.serde.serialize_model(found.model), feed)["y"]
    np.testing.assert_allclose(made, run(model, feed)["y"], rtol=1e-4, atol=1e-5)
    return found


def operators(found: Prepared) -> list[str]:
    return [node.op_type for node in found.model.graph]


def test_a_norm_of_two_layers_folds_into_both() -> None:
    found = prepared(f"{JOINED}[r] r = Sigmoid(n) {LAST}")
    assert operators(found) == ["Conv", "Conv", "Concat", "Sigmoid", "Conv"]
    assert sorted(len(moments.mean) for moments in found.stated.values()) == [4, 6]


@pytest.mark.parametrize("bound", ["Relu(n)", "Clip(n, low, high)"])
def test_bounds_go_to_the_layers(bound: str) -> None:
    used = {"low": np.float32(0), "high": np.float32(6)} if "Clip" in bound else {}
    found = prepared(f"{JOINED}[r] r = {bound} {LAST}", **used)
    kind = bound.split("(")[0]
    assert operators(found) == ["Conv", "Conv", kind, kind, "Concat", "Conv"]


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        (f"{JOINED}[r] r = Relu(n) {LAST} [z] z = Relu(a)", "y, z"),
        (f"{JOINED}[r] r = Relu(n) {LAST} [z] z = Relu(k)", "y, z"),
        (f"{PARTS}[p] p = MaxPool<kernel_shape=[3,3],pads=[1,1,1,1]>(b) "
         f"[k] k = Concat<axis=1>(a, p) {bn('k', 'n')}[r] r = Relu(n) {LAST}", "y"),
    ],
    ids=["a part read elsewhere", "the whole read elsewhere", "a part of no layer"],
)  # fmt: skip
def test_what_stays_one_norm(body: str, outputs: str) -> None:
    assert "BatchNormalization" in operators(prepared(body, outputs))


def test_mixed_convolutions_are_all_that_runs() -> None:
    body = f"{JOINED}[r] r = Relu(n) {LAST}"
    model = trained(build(body, **WEIGHTS, **norm("n", 10)))
    result = quantize(model, Config(timing=False))
    found = optimized(result.model)
    assert found["QLinearConv"] == 3 and not found["Relu"] and not found["BatchNormalization"]
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 28
