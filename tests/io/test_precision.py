"""Networks of half and double precision are read as networks of float32."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

import spiq
from small_networks import bn, build, norm, run, trained

BODY = (
    "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r1] r1 = Relu(n1) "
    "[c2] c2 = Conv<pads=[1,1,1,1]>(r1, w2) [t] t = Cast<to=1>(c2) [u] y = Cast<to=1>(t)"
)
SINGLE = TensorProto.FLOAT
OTHERS = {"half": (TensorProto.FLOAT16, np.float16), "double": (TensorProto.DOUBLE, np.float64)}


def single() -> onnx.ModelProto:
    model = build(BODY, w1=(16, 3, 3, 3), w2=(8, 16, 3, 3), **norm("n1", 16))
    return trained(model, 8, 0, 1)


def of_type(model: onnx.ModelProto, kind: int, array: type) -> onnx.ModelProto:
    """Make all of a network of another precision, but for one Cast to single and back."""
    made = onnx.ModelProto.FromString(model.SerializeToString())
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.elem_type = kind
    for tensor in made.graph.initializer:
        numbers = numpy_helper.to_array(tensor).astype(array)
        tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))
    made.graph.node[-1].attribute[0].i = kind
    return made


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_quantized_as_the_network_of_single_precision(name: str) -> None:
    float_network = single()
    result = spiq.quantize(of_type(float_network, *OTHERS[name]), spiq.Config(timing=False))
    assert not result.report.float_layers
    kind = {"half": "float16", "double": "double"}[name]
    assert f"the network computes in {kind}" in result.report.notes[0]
    x = np.random.default_rng(0).random((1, 3, 16, 16)).astype(np.float32)
    y, q = run(float_network, {"x": x})["y"], result.run({"x": x})["y"]
    assert q.dtype == np.float32
    assert 10 * np.log10(np.var(y) / np.square(y - q).mean()) > 25


def test_what_is_done_in_double_beside_layers_of_single_precision_stays() -> None:
    body = "[a] d = Cast<to=11>(x) [b] e = Exp(d) [c] f = Cast<to=1>(e) [l] y = Conv(f, w)"
    result = spiq.quantize(build(body, w=(4, 3, 1, 1)), spiq.Config(timing=False))
    assert any(node.op_type == "Cast" for node in onnx.load_from_string(result.model).graph.node)
