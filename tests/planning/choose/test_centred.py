"""Zero points go to the middle of a grid where a layer that pads takes less time then."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from small_networks import bn, build, norm, trained
from spiq import Config, Quantized, quantize
from spiq.planning.choose.centred import SPENT, Centred, move


def network(attributes: str, *, side: int, groups: int = 1) -> onnx.ModelProto:
    body = (
        f"[c1] c1 = Conv<{attributes}, group={groups}>(x, w1) "
        + bn("c1", "n")
        + "[r] r = Relu(n) [c2] y = Conv<pads=[1,1,1,1]>(r, w2)"
    )
    weights = {"w1": (6, 3 // groups, side, side), "w2": (4, 6, 3, 3)}
    return trained(build(body, **weights, **norm("n", 6)))


def made(model: onnx.ModelProto, target: str = "openvino") -> Quantized:
    return quantize(model, Config(target=target, input_range=((-2.1, 2.6),), timing=False))


def zero_point_of_input(quantized: Quantized) -> np.ndarray:
    graph = onnx.load_from_string(quantized.model).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    (node,) = (n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "x")
    return constants[node.input[2]]


@pytest.mark.parametrize("padded", ["pads=[1,1,1,1]", 'auto_pad="SAME_UPPER"'])
def test_what_a_layer_pads_has_its_zero_in_the_middle(
    padded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        zero_point_of_input(made(network(padded, side=3))) == 114
    )  # of two layers, it is too much
    monkeypatch.setattr("spiq.planning.choose.centred.SPENT", 1.0)
    found = zero_point_of_input(made(network(padded, side=3)))
    assert (found, found.dtype) == (0, np.int8)


@pytest.mark.parametrize(
    ("attributes", "side", "groups", "target"),
    [
        ("pads=[0,0,0,0]", 3, 1, "openvino"),
        ("pads=[1,1,1,1]", 3, 3, "openvino"),
        ("pads=[1,1,1,1]", 3, 1, "onnxruntime"),
    ],
    ids=["no padding", "depthwise", "another target"],
)
def test_elsewhere_it_stays_where_it_suits_the_range(
    attributes: str, side: int, groups: int, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiq.planning.choose.centred.SPENT", 1.0)
    model = network(attributes, side=side, groups=groups)
    found = zero_point_of_input(made(model, target))
    assert found.dtype == np.uint8
    assert 110 <= found <= 118


def test_what_lies_behind_a_relu_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spiq.planning.choose.centred.SPENT", 1.0)
    plan = made(network("pads=[1,1,1,1]", side=3)).plan
    assert plan.tensors["r"].zero == 0


def test_only_so_much_error_is_spent() -> None:
    movable = {"a": Centred("A", 0.6 * SPENT), "b": Centred("B", 0.1 * SPENT)}
    assert move(movable, 1.0) == {"a": "A", "b": "B"}
    assert move(movable, 0.5) == {"b": "B"}
    assert move({"c": Centred("C", -1.0)} | movable, 0.0) == {"c": "C", "a": "A", "b": "B"}
