"""Layers that measure the range of their input as the network runs."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from network_kinds import KINDS
from small_networks import build, images_for, optimized, resolved_of, run
from spiq import Config, apply, plan, quantize
from spiq.errors import PlanError, UnsupportedError, VerificationError
from spiq.planning.plan.values import Plan
from spiq.runtime import layerwise
from spiq.runtime.reference import reference
from spiq.runtime.verify import verify


def config(weight_bits: int = 8, activation_bits: int = 8, **options: object) -> Config:
    bits = {"weight_bits": weight_bits, "activation_bits": activation_bits}
    return Config(method="dynamic", **bits, **options)  # type: ignore[arg-type]


def quantized_layer(
    x: np.ndarray, layer: onnx.ModelProto, weight: np.ndarray, bits: tuple[int, int]
) -> np.ndarray:
    """Return what a layer gives for a rounded input and a rounded weight, without its bias.

    ``layer`` computes in float, which is exact: the sums of small integers are.
    """
    steps = 2 ** bits[1] - 1
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    step = np.float32(high - low) / np.float32(steps)
    zero = np.rint(np.float32(-low) / step)
    q = np.clip(np.rint(x / step) + zero, 0, steps) - zero
    is_conv = layer.graph.node[0].op_type == "Conv"
    outputs = 1 if layer.graph.node[0].op_type == "MatMul" else 0
    others = tuple(axis for axis in range(weight.ndim) if axis != outputs)
    top = np.float32(2 ** (bits[0] - 1) - 1)
    scale = np.abs(weight).max(axis=others, keepdims=True) / top
    integers = np.rint(weight / scale)
    layer.graph.initializer[0].CopyFrom(numpy_helper.from_array(integers, "w"))
    sums = run(layer, {"x": q.astype(np.float32)}, optimize=False)["y"]
    steps_out = step * scale.reshape(-1)
    return np.asarray(
        sums * (steps_out.reshape(-1, *(1,) * (sums.ndim - 2)) if is_conv else steps_out)
    )


LAYERS = {
    "plain": ("Conv<pads=[1,1,1,1]>(x, w)", "float[N,3,16,16] x", (8, 3, 3, 3)),
    "pointwise": ("Conv(x, w)", "float[N,3,16,16] x", (8, 3, 1, 1)),
    "strided": ("Conv<strides=[2,2],pads=[1,1,1,1]>(x, w)", "float[N,3,16,16] x", (8, 3, 3, 3)),
    "one-sided pads": ("Conv<pads=[0,1,2,0]>(x, w)", "float[N,3,16,16] x", (8, 3, 3, 3)),
    "dilated": ("Conv<pads=[2,2,2,2],dilations=[2,2]>(x, w)", "float[N,3,16,16] x", (8, 3, 3, 3)),
    "grouped": ("Conv<group=4,pads=[1,1,1,1]>(x, w)", "float[N,64,8,8] x", (64, 16, 3, 3)),
    "depthwise": ("Conv<group=6,pads=[1,1,1,1]>(x, w)", "float[N,6,16,16] x", (6, 1, 3, 3)),
    "1-D": ("Conv<pads=[1,1]>(x, w)", "float[2,3,20] x", (8, 3, 3)),
    "3-D": ("Conv(x, w)", "float[2,3,6,6,6] x", (8, 3, 3, 3, 3)),
    "Gemm": ("Gemm<transB=1>(x, w)", "float[N,10] x", (8, 10)),
    "MatMul": ("MatMul(x, w)", "float[N,10] x", (10, 8)),
    "MatMul of rank 3": ("MatMul(x, w)", "float[2,7,10] x", (10, 8)),
}


@pytest.mark.parametrize("bits", [(8, 8), (4, 8), (8, 4), (2, 3)])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_computes_what_it_should(name: str, bits: tuple[int, int]) -> None:
    body, inputs, shape = LAYERS[name]
    layer = build(f"[c] y = {body}", inputs=inputs, w=shape)
    weight = numpy_helper.to_array(layer.graph.initializer[0]).copy()
    result = quantize(layer, config(*bits))
    x = np.random.default_rng(1).normal(0.3, 1, images_for(layer)["x"].shape).astype(np.float32)
    made = apply(layer, without_bias_correction(result.plan))
    expected = quantized_layer(x, layer, weight, bits)
    actual = run(made.model, {"x": x})["y"]
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())


def without_bias_correction(made: Plan) -> Plan:
    return Plan.from_json(made.to_json().replace('_correction": true', '_correction": false'))


def test_kernels_and_weights_are_the_fast_ones() -> None:
    result = quantize(KINDS["depthwise"](), config())
    graph = onnx.load_from_string(result.model).graph
    weights = {n.input[1] for n in graph.node if n.op_type in ("ConvInteger", "MatMulInteger")}
    kinds = {tensor.data_type for tensor in graph.initializer if tensor.name in weights}
    assert kinds == {onnx.TensorProto.UINT8} and len(weights) == 4
    found = optimized(result.model)
    assert found["ConvInteger"] == 3 and found["DynamicQuantizeMatMul"] == 1
    assert not found["Conv"] and not found["DequantizeLinear"]


def test_plan_stores_nothing_and_says_the_bits_of_inputs() -> None:
    made = plan(KINDS["convolutions"](), config(6, 4, first_last_bits=8))
    assert not made.tensors
    bits = {name: (layer.bits, layer.input_bits) for name, layer in made.layers.items()}
    assert bits == {"c1": (8, 8), "c2": (6, 4), "c3": (8, 8)}


def test_tensor_that_several_layers_read_is_quantized_once() -> None:
    result = quantize(KINDS["odd_convolutions"](), config())
    nodes = Counter(node.op_type for node in onnx.load_from_string(result.model).graph.node)
    assert nodes["DynamicQuantizeLinear"] == 2 and nodes["ConvInteger"] == 4


def test_layers_without_statistics_run_on_integers_too() -> None:
    result = quantize(KINDS["unknown"](), config())
    assert list(result.plan.layers) == ["c1", "c2"]
    found = plan(KINDS["unknown"](), config())
    assert not found.tensors  # and nothing but the input had to be known


def test_transposed_convolution_stays_in_float_with_a_reason() -> None:
    body = "[c] c = Conv(x, w) r = Relu(c) [t] y = ConvTranspose<strides=[2,2], group=2>(r, wt)"
    result = quantize(build(body, w=(8, 3, 3, 3), wt=(8, 4, 2, 2)), config())
    assert "ConvTranspose" in result.plan.left_in_float["t"]


def test_weight_that_is_no_matrix_stays_in_float_with_a_reason() -> None:
    model = build("[m] y = MatMul(x, w)", inputs="float[4,5,6] x", w=(4, 6, 3))
    with pytest.raises(UnsupportedError, match="no weight is a constant matrix"):
        quantize(model, config())


def test_range_is_that_of_the_input_at_hand() -> None:
    """A hundred times larger inputs are rounded no worse; a static range would clip them."""
    model = build("[c] y = Conv<pads=[1,1,1,1]>(x, w)", w=(8, 3, 3, 3))
    result, x = quantize(model, config()), images_for(model)["x"]
    plain, large = (run(result.model, {"x": k * x})["y"] for k in (1, 128))
    np.testing.assert_allclose(large - bias(result.model), 128 * (plain - bias(result.model)),
                               rtol=1e-3, atol=1e-2)  # fmt: skip


def bias(model: bytes) -> np.ndarray:
    graph = onnx.load_from_string(model).graph
    node = next(node for node in graph.node if node.op_type == "BatchNormalization")
    found = next(tensor for tensor in graph.initializer if tensor.name == node.input[2])
    return numpy_helper.to_array(found).reshape(1, -1, 1, 1)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("value", [0.0, 3.0, -3.0, 1e-20, -1e-38])
def test_input_of_one_number(value: float, bits: int) -> None:
    model = build("[c] y = Conv(x, w)", w=(8, 3, 3, 3))
    x = np.full((1, 3, 16, 16), value, np.float32)
    made = apply(model, without_bias_correction(plan(model, config(8, bits))))
    actual, expected = run(made.model, {"x": x})["y"], run(model, {"x": x})["y"]
    assert np.isfinite(actual).all()
    np.testing.assert_allclose(actual, expected, atol=max(0.02 * abs(value), 1e-30) * 9)


def test_biases_make_up_for_rounding() -> None:
    model = KINDS["convolutions"]()
    feed = images_for(model)
    expected = run(model, feed)["y"]
    corrected = quantize(model, config(4, 8))
    plain = apply(model, without_bias_correction(corrected.plan))
    off = [np.abs((run(made.model, feed)["y"] - expected).mean(axis=(0, 2, 3))).mean()
           for made in (corrected, plain)]  # fmt: skip
    assert off[0] < 0.6 * off[1]


def test_more_bits_are_better() -> None:
    model = KINDS["convolutions"]()
    found = [quantize(model, config(b, b)).report.snr_db["y"] for b in (3, 4, 6, 8)]
    assert found == sorted(found)


def test_static_plan_does_not_pass_for_a_dynamic_one() -> None:
    model = KINDS["convolutions"]()
    text = plan(model).to_json().replace('"method": "spiq"', '"method": "dynamic"')
    with pytest.raises(PlanError):
        apply(model, Plan.from_json(text))
    text = plan(model, config()).to_json().replace('"method": "dynamic"', '"method": "static"')
    with pytest.raises(PlanError):
        apply(model, Plan.from_json(text))


def test_kernel_that_computes_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = KINDS["convolutions"]()
    result, (_, _, resolved) = quantize(model, config()), resolved_of(model, config())
    floats = reference(model.SerializeToString(), {})
    verify(floats, result.model, resolved)
    exact = layerwise._sum_in_float

    def doubled(graph: onnx.GraphProto) -> None:
        exact(graph)
        one = next(tensor for tensor in graph.initializer if tensor.name == layerwise._ONE)
        one.float_data[:] = [2.0]

    monkeypatch.setattr(layerwise, "_sum_in_float", doubled)
    with pytest.raises(VerificationError, match="steps away"):
        verify(floats, result.model, resolved)
