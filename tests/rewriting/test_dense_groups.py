"""A grouped convolution filled with zeros computes what it did."""

import numpy as np
import onnx_ir as ir
import pytest

from small_networks import build
from spiq.graph.query import weight_nodes
from spiq.io.read import read
from spiq.rewriting.dense_groups import fill_groups
from spiq.runtime.session import session

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("groups", "inputs", "outputs"), [(2, 4, 6), (3, 9, 3), (4, 8, 8)])
def test_the_function_stays(groups: int, inputs: int, outputs: int) -> None:
    weight = RNG.standard_normal((outputs, inputs // groups, 3, 3)).astype(np.float32)
    body = f"y = Conv<group={groups}, pads=[1,1,1,1]>(x, w)"
    proto = build(body, inputs=f"float[1,{inputs},5,5] x", w=weight)
    model = read(proto)
    assert fill_groups(weight_nodes(model.graph), 640) == 1
    layer = weight_nodes(model.graph)[0]
    assert layer.attributes.get_int("group") == 1
    assert layer.inputs[1] is not None
    assert tuple(layer.inputs[1].shape or ()) == (outputs, inputs, 3, 3)
    x = RNG.standard_normal((1, inputs, 5, 5)).astype(np.float32)
    before, after = (
        session(entry.SerializeToString()).run(None, {"x": x})[0]
        for entry in (proto, ir.to_proto(model))
    )
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("groups", "shape", "limit"),
    [
        (4, (4, 1, 3, 3), 640),
        (2, (6, 2, 3, 3), 11),
        (2, (6, 2, 3, 3), 0),
        (1, (6, 4, 3, 3), 640),
        (3, (42, 14, 3, 3), 640),
    ],
    ids=[
        "depthwise",
        "too many weights",
        "never",
        "dense already",
        "few, but in whole blocks many",
    ],
)
def test_others_are_left_alone(groups: int, shape: tuple[int, ...], limit: int) -> None:
    weight = RNG.standard_normal(shape).astype(np.float32)
    inputs = f"float[1,{groups * shape[1]},5,5] x"
    model = read(build(f"y = Conv<group={groups}>(x, w)", inputs=inputs, w=weight))
    assert fill_groups(weight_nodes(model.graph), limit) == 0
