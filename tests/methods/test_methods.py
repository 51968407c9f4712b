"""What every method has to do: run on networks of all kinds, and by its plan to the same bytes."""

import numpy as np
import onnx
import pytest

import zoo
from network_kinds import KINDS
from small_networks import build, images_for, run
from spiq import Config, Plan, apply, quantize
from spiq.io.read import read
from spiq.methods import METHODS
from spiq.runtime.snr import snr_db


def test_methods_are_named_as_their_modules_and_say_where_they_are_from() -> None:
    for name, method in METHODS.items():
        assert method.name == name
        module = __import__(f"spiq.methods.{name.replace('-', '_')}", fromlist=["METHOD"])
        assert module.METHOD is method
        if name not in ("static", "dynamic"):
            assert "arXiv" in module.__doc__


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network(kind: str, method: str) -> None:
    model = KINDS[kind]()
    result = quantize(model, Config(method=method))
    assert result.plan.method == result.report.method == method
    feed = images_for(model)
    expected = run(model, feed)["y"]
    actual = run(result.model, feed)["y"]
    assert snr_db(expected, actual) > 14
    onnx.checker.check_model(onnx.load_from_string(result.model), full_check=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", [(8, 8), (4, 8), (6, 6), (3, 3)])
def test_plan_gives_the_same_bytes(method: str, bits: tuple[int, int]) -> None:
    model = KINDS["depthwise"]()
    options = {"weight_bits": bits[0], "activation_bits": bits[1], "first_last_bits": 8}
    result = quantize(model, Config(method=method, **options))  # type: ignore[arg-type]
    plan = Plan.from_json(result.plan.to_json())
    assert plan == result.plan
    assert apply(model, plan).model == result.model


@pytest.mark.parametrize("method", METHODS)
def test_batch_may_have_any_size(method: str) -> None:
    model = KINDS["convolutions"]()
    result = quantize(model, Config(method=method))
    x = images_for(model)["x"]
    assert run(result.model, {"x": x[:1]})["y"].shape == (1, 4, 16, 16)
    assert run(result.model, {"x": x})["y"].shape == (len(x), 4, 16, 16)


@pytest.mark.parametrize("method", METHODS)
def test_layers_that_are_excluded_stay_in_float(method: str) -> None:
    result = quantize(KINDS["convolutions"](), Config(method=method, exclude=("c2",)))
    assert result.plan.left_in_float == {"c2": "excluded"}
    assert [layer.name for layer in result.report.float_layers] == ["c2"]


@pytest.mark.parametrize("method", METHODS)
def test_gemm_of_transposed_rows(method: str) -> None:
    """Its channels are the batch: on integers only where ranges are measured as it runs."""
    body = "[g] g = Gemm<transB=1>(x, w, b) [r] r = Relu(g) [h] y = Gemm<transA=1>(r, v, c)"
    shapes = {"w": (4, 10), "b": (4,), "v": (4, 5), "c": (5,)}
    model = build(body, inputs="float[4,10] x", **shapes)
    result = quantize(model, Config(method=method))
    reason = result.plan.left_in_float.get("h", "")
    assert ("h" in result.plan.layers) == (reason == "")
    assert ("channel by channel" in reason) == (method != "dynamic")
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("opset", [11, 13, 21])
@pytest.mark.parametrize("bits", [8, 4])
def test_opsets(opset: int, bits: int, method: str) -> None:
    body = "[c1] c = Conv(x, w) [r] r = Relu(c) [c2] y = Conv<pads=[1,1,1,1]>(r, v)"
    model = build(body, opset=opset, w=(8, 3, 3, 3), v=(4, 8, 3, 3))
    result = quantize(model, Config(method=method, weight_bits=bits, activation_bits=bits))
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > (25 if bits == 8 else 3)


@pytest.mark.zoo
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "network",
    [
        "classification/resnet8-cifar10",
        "classification/mobilenetv1-0.25-person",
        "detection/fastestdet",
    ],
)
def test_real_networks(network: str, method: str) -> None:
    path = zoo.model(network)
    result = quantize(path, Config(method=method))
    layers = [node for node in read(path).graph if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert result.report.quantized_layers == len(layers)
    assert all(np.isfinite(value) for value in result.report.snr_db.values())
    assert apply(path, Plan.from_json(result.plan.to_json())).model == result.model
