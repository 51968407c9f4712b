"""Biases that an InstanceNorm takes away again, and what they used to say of the input."""

import numpy as np
import onnx_ir as ir
import pytest

from small_networks import build
from spiq.io.read import read
from spiq.passes.cancelled import drop_cancelled_biases
from spiq.passes.prepare import prepare
from spiq.runtime.session import session
from spiq.runtime.trials import tried
from spiq.stats.inputs.judge import judge

NORM = "InstanceNormalization({0}, g, s)"
ONES = {"g": np.ones(8, np.float32), "s": np.zeros(8, np.float32)}


@pytest.mark.parametrize("layer", ["Conv", "ConvTranspose"])
def test_the_network_stays_as_it_is(layer: str) -> None:
    body = f"c = {layer}(x, w, b) y = {NORM.format('c')}"
    shape = (8, 3, 3, 3) if layer == "Conv" else (3, 8, 3, 3)
    plain = build(body, w=shape, b=np.arange(8, dtype=np.float32), **ONES)
    model = read(plain.SerializeToString())
    assert drop_cancelled_biases(model) == 1
    feed = {"x": np.random.default_rng(0).random((1, 3, 16, 16), np.float32)}
    before = session(plain.SerializeToString()).run(None, feed)[0]
    after = session(ir.to_proto(model).SerializeToString()).run(None, feed)[0]
    np.testing.assert_allclose(after, before, atol=1e-4)


@pytest.mark.parametrize(
    "body",
    [
        f"c = Conv(x, w, b) n = {NORM.format('c')} y = Add(c, n)",
        f"c = Conv(x, w, b) r = Relu(c) y = {NORM.format('r')}",
    ],
    ids=["read by another, too", "behind a ReLU"],
)
def test_biases_that_matter_stay(body: str) -> None:
    assert not drop_cancelled_biases(
        read(build(body, w=(8, 3, 3, 3), b=np.ones(8, np.float32), **ONES))
    )


def test_a_normalized_network_is_not_taken_for_one_that_never_was() -> None:
    """Such networks mostly take pixels from 0 to 255 less a mean, as a 3-D U-Net was said to."""
    down = "Conv<kernel_shape=[2,2,2], strides=[2,2,2]>"
    body = (
        f"c = Conv<pads=[1,1,1,1,1,1]>(x, w, b) n = {NORM.format('c')} r = Relu(n) "
        f"d = {down}(r, v, b) e = {down}(r, u, b) f = Add(d, e) y = Conv(f, k, b)"
    )
    rng = np.random.default_rng(0)
    shapes = {"w": (8, 1, 3, 3, 3), "v": (8, 8, 2, 2, 2), "u": (8, 8, 2, 2, 2)}
    model = build(
        body, inputs="float[1,1,16,16,16] x", outputs="float[1,8,8,8,8] y", k=(8, 8, 1, 1, 1),
        b=(0.1 * rng.standard_normal(8)).astype(np.float32), **shapes, **ONES,
    )  # fmt: skip
    prepared = prepare(read(model))
    verdict = tried(prepared, judge(prepared))["x"]
    assert verdict.best.high < 3
