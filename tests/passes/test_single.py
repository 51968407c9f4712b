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
