"""Zeros that are divided by their own norm stay zeros."""

import numpy as np
import onnx
import pytest

import spiq
from small_networks import build, run
from spiq.runtime.snr import snr_db

PADDED = "p = Pad(r, pads) "
TURNED = "[k] k = MatMul(p, w2) t = Reshape(k, shape) "


def network(front: str, norm: str) -> onnx.ModelProto:
    body = f"[m] m = MatMul(x, w1) r = Relu(m) {front}{TURNED}{norm}"
    given = {
        "pads": np.array([0, 0, 0, 0, 2, 0]), "shape": np.array([1, -1, 4, 8]),
        "last": np.array([-1]), "least": np.float32(1e-12),
    }  # fmt: skip
    used = {name: array for name, array in given.items() if f", {name})" in body}
    model = build(body, inputs="float[1,6,16] x", w1=(16, 32), w2=(32, 32), opset=18, **used)
    return model


@pytest.mark.parametrize("bits", [8, 4])
def test_padding_has_no_direction(bits: int) -> None:
    """Corrected biases made vectors of length 1 of it."""
    norm = "n = ReduceL2<keepdims=1>(t, last) s = Max(n, least) y = Div(t, s)"
    model = network(PADDED, norm)
    made = spiq.quantize(model.SerializeToString(), spiq.Config(weight_bits=bits, timing=False))
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 6, 16)).astype(np.float32)}
    wanted, found = run(model, feeds)["y"], run(made.model, feeds)["y"]
    assert not wanted[:, 6:].any() and not found[:, 6:].any()
    assert snr_db(wanted, found) > (20 if bits == 8 else 8)


def test_others_are_corrected() -> None:
    model = network("p = Identity(r) ", "y = Neg(t)")
    made = spiq.quantize(model.SerializeToString(), spiq.Config(weight_bits=4, timing=False))
    biases = [
        onnx.numpy_helper.to_array(one)
        for one in onnx.load_from_string(made.model).graph.initializer
        if "bias" in one.name
    ]
    assert any(bias.any() for bias in biases)
