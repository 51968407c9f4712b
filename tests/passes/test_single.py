"""Networks in half precision have layers on integers, and inputs and outputs as they were."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import spiq
from small_networks import bn, build, norm, trained
from spiq.io.read import read
from spiq.passes.single import half_as_single
from spiq.runtime.session import session

BODY = (
    f"[c1] a = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w) {bn('a', 'n')} r = Relu(n) "
    "[c2] y = Conv<pads=[1,1,1,1]>(r, v)"
)


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network as ``module.half()`` is exported."""
    half = onnx.TensorProto.FLOAT16
    for index, tensor in enumerate(model.graph.initializer):
        array = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        model.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = half
    return model


@pytest.fixture
def network() -> bytes:
    weights = {"w": (8, 3, 3, 3), "v": (4, 8, 3, 3), **norm("n", 8)}
    return halved(trained(build(BODY, **weights))).SerializeToString()


def test_the_function_is_the_same(network: bytes) -> None:
    model = read(network)
    assert half_as_single(model) > 2
    feeds = {"x": np.random.default_rng(0).random((2, 3, 16, 16)).astype(np.float16)}
    wanted = session(network).run(None, feeds)[0]
    found = session(ir.to_proto(model).SerializeToString()).run(None, feeds)[0]
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, wanted, atol=5e-3)


def test_layers_run_on_integers(network: bytes) -> None:
    result = spiq.quantize(network, spiq.Config(timing=False))
    assert result.report.quantized_layers == 2
    assert result.report.snr_db["y"] > 15
    x = np.random.default_rng(0).random((2, 3, 16, 16)).astype(np.float16)
    assert result.run({"x": x})["y"].dtype == np.float16


def test_what_is_single_is_left_alone() -> None:
    assert not half_as_single(read(build("y = Conv(x, w)", w=(8, 3, 3, 3))))


def half(*names: str) -> str:
    return ", ".join(f"float16[1,3,16,16] {name}" for name in names)


def array(*shape: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(shape) * 0.2).astype(np.float16)


PAIR = "r = Relu(c) s = SequenceConstruct(r, c)"
CASES = {
    "a sequence": (f"c = Conv(x, w) {PAIR} y = ConcatFromSequence<axis=1>(s)", "float16 y"),
    "an input that is an output": ("y = Conv(x, w)", f"float16 y, {half('x')}"),
    "a weight that is an output": ("y = Conv(x, w)", "float16 y, float16[8,3,3,3] w"),
    "an output twice read": ("c = Conv(x, w) y = Relu(c)", "float16 y, float16 c"),
    "an output named by its type": (
        "c = Conv(x, w) n = RandomNormalLike<dtype=10, scale=0.000001>(c) y = Add(c, n)",
        "float16 y",
    ),
}


@pytest.mark.parametrize(("body", "outputs"), CASES.values(), ids=CASES)
def test_it_runs_and_keeps_its_types(body: str, outputs: str) -> None:
    given = build(body, inputs=half("x"), outputs=outputs, w=array(8, 3, 3, 3))
    model = read(given)
    assert half_as_single(model) == 1
    feeds = {"x": array(1, 3, 16, 16)}
    wanted = session(given.SerializeToString()).run(None, feeds)
    found = session(ir.to_proto(model).SerializeToString()).run(None, feeds)
    for want, have in zip(wanted, found, strict=True):
        assert have.dtype == np.float16
        np.testing.assert_allclose(have, want, atol=5e-3)


def test_weights_stored_as_integers_with_half_steps() -> None:
    weight = np.random.default_rng(0).integers(-127, 128, (8, 3, 3, 3)).astype(np.int8)
    body = "w = DequantizeLinear(q, s) y = Conv(x, w)"
    step = np.array(0.01, np.float16)
    model = build(body, inputs=half("x"), outputs="float16 y", opset=19, q=weight, s=step)
    assert spiq.quantize(model, spiq.Config(timing=False)).report.quantized_layers == 1
