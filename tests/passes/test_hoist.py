"""Steps behind movers fold into the layer that wrote what they move."""

import numpy as np
import pytest

from small_networks import build, floats, run, whole
from spiq.io.read import read
from spiq.io.write import serialize
from spiq.passes.gemm import canonical_gemm
from spiq.passes.hoist import hoist_steps
from spiq.passes.tokens import token_layers

LAYER = "[l] c = Conv(x, w) [t] t = Transpose<perm=[0,2,3,1]>(c) "
TOKENS = "[s] s = Transpose<perm=[0,2,3,1]>(x) [l] m = MatMul(s, v) "


@pytest.mark.parametrize(
    ("body", "operators"),
    [
        (f"{LAYER}y = Mul(t, row)", "Conv Transpose"),
        (f"{LAYER}y = Add(row, t)", "Conv Transpose"),
        (f"{LAYER}y = Mul(t, column)", "Conv Transpose Mul"),
        (f"{LAYER}y = Mul(t, one)", "Conv Transpose Mul"),
        (f"{LAYER}m = Mul(t, row) y = Add(m, t)", "Conv Transpose Mul Add"),
        (f"{LAYER}[r] r = Reshape(t, flat) y = Mul(row, r)", "Conv Transpose Reshape"),
        (f"{TOKENS}[u] u = Transpose<perm=[0,3,1,2]>(m) y = Mul(u, channel)",
         "Transpose Reshape Gemm Reshape Transpose"),
    ],
)  # fmt: skip
def test_a_step_per_channel_becomes_part_of_the_layer(body: str, operators: str) -> None:
    known = {
        "w": (5, 6, 1, 1), "v": (6, 5), "row": floats(1, -2, 3, 0.5, 0), "one": floats(3),
        "column": floats(1, 2, 3, 4).reshape(4, 1), "flat": whole(2, 16, 5),
        "channel": floats(1, 2, 3, 0.5, 1).reshape(5, 1, 1),
    }  # fmt: skip
    names = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    proto = build(body, inputs="float[2,6,4,4] x", **{n: v for n, v in known.items() if n in names})
    model = read(proto)
    for step in (token_layers, canonical_gemm, hoist_steps):
        step(model)
    assert [node.op_type for node in model.graph] == operators.split()
    feed = {"x": np.random.default_rng(0).standard_normal((2, 6, 4, 4)).astype(np.float32)}
    expected, found = run(proto, feed)["y"], run(serialize(model), feed)["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
