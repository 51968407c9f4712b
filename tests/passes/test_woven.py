"""Activations in front of the DepthToSpace that they stand behind."""

import numpy as np
import onnx_ir as ir
import pytest

from small_networks import build
from spiq.io.read import read
from spiq.passes.woven import activations_before_weaving
from spiq.runtime.session import session


@pytest.mark.parametrize("mode", ["CRD", "DCR"])
@pytest.mark.parametrize(
    ("after", "kinds"),
    [
        ("y = Relu(d)", ["Conv", "Relu", "DepthToSpace"]),
        ("c = Clip(d, low, high) y = LeakyRelu(c)", ["Conv", "Clip", "LeakyRelu", "DepthToSpace"]),
        ("r = Relu(d) y = Add(r, d)", ["Conv", "DepthToSpace", "Relu", "Add"]),
        ("y = PRelu(d, slopes)", ["Conv", "DepthToSpace", "PRelu"]),
    ],
    ids=["one", "two", "read twice", "a slope per channel"],
)
def test_activations_move(mode: str, after: str, kinds: list[str]) -> None:
    body = f'a = Conv(x, w) d = DepthToSpace<blocksize=2, mode="{mode}">(a) {after}'
    constants = {"low": np.array(-0.5, np.float32), "high": np.array(2, np.float32),
                 "slopes": np.array([[[0.1]], [[0.2]]], np.float32)}  # fmt: skip
    used = {name: array for name, array in constants.items() if name in after}
    model = build(body, inputs="float[N,3,8,8] x", w=(8, 3, 3, 3), **used)
    changed = read(model)
    moved = activations_before_weaving(changed)
    assert [node.op_type for node in changed.graph] == kinds
    assert moved == (0 if kinds[-1] != "DepthToSpace" else len(kinds) - 2)
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)}
    wanted = session(model.SerializeToString()).run(None, feeds)[0]
    found = session(ir.to_proto(changed).SerializeToString()).run(None, feeds)[0]
    np.testing.assert_array_equal(found, wanted)
