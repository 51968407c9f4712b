"""What has weights, is no layer and stays in float is said."""

import numpy as np
import onnx
import pytest

from small_networks import build
from spiq.io.read import read
from spiq.planning.placement.inert import inert
from spiq.targets import ONNXRUNTIME

WEIGHTS = {"w": (1, 16, 4), "r": (1, 16, 4)}


def test_recurrent_layers_are_said_once_for_all() -> None:
    body = (
        "[a] a, s = LSTM<hidden_size=4>(x, w, r) [q] b = Squeeze(a, one) "
        "[b] y, t = LSTM<hidden_size=4>(b, w, r)"
    )
    model = build(body, inputs="float[3,N,4] x", one=np.array([1]), **WEIGHTS)
    said = inert(read(model).graph, ONNXRUNTIME)
    assert said == ["LSTM 'a' and 1 more stay in float: onnxruntime has no integer kernel for LSTM"]


@pytest.mark.parametrize(
    ("inner", "told"),
    [("b = Conv(r, w)", True), ("b = Neg(r)", False)],
    ids=["with a layer", "without"],
)
def test_graphs_inside_that_hold_layers(inner: str, told: bool) -> None:
    text = f"""<ir_version: 8, opset_import: ["": 17]>
        net (float[1,3,8,8] x) => (float[1,3,8,8] y) <float[3,3,1,1] w = {{1,0,0,0,1,0,0,0,1}}> {{
        r = Relu(x) s = ReduceMax<keepdims=0>(x) z = Sub(s, s) more = Less(z, s)
        [if] y = If (more) <
            then_branch = yes () => (float[1,3,8,8] b) {{ {inner} }},
            else_branch = no () => (float[1,3,8,8] c) {{ c = Abs(r) }} > }}"""
    said = inert(read(onnx.parser.parse_model(text)).graph, ONNXRUNTIME)
    assert said == ["If 'if' stays in float: graphs inside of If are left as they are"] * told
