"""Networks of double precision are read as networks of float32."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

import spiq
from small_networks import bn, build, norm, run, trained

BODY = (
    "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r1] r1 = Relu(n1) "
    "[c2] c2 = Conv<pads=[1,1,1,1]>(r1, w2) [t] t = Cast<to=1>(c2) [u] y = Cast<to=1>(t)"
)
SINGLE = TensorProto.FLOAT


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
    if made.graph.node[-1].op_type == "Cast":
        made.graph.node[-1].attribute[0].i = kind
    return made


def test_it_is_quantized_as_the_network_of_single_precision() -> None:
    float_network = single()
    double = of_type(float_network, TensorProto.DOUBLE, np.float64)
    result = spiq.quantize(double, spiq.Config(timing=False))
    assert not result.report.float_layers
    assert "the network computes in double" in result.report.notes[0]
    x = np.random.default_rng(0).random((1, 3, 16, 16)).astype(np.float32)
    y, q = run(float_network, {"x": x})["y"], result.run({"x": x})["y"]
    assert q.dtype == np.float32
    assert 10 * np.log10(np.var(y) / np.square(y - q).mean()) > 25


def test_pictures_of_half_precision_are_tried_as_such() -> None:
    """Nothing but a trial tells the range here."""
    body = (
        "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) [r1] r1 = Relu(c1) "
        "[c2] c2 = Conv<pads=[1,1,1,1]>(r1, w2) " + bn("c2", "n2") + "[r2] y = Relu(n2)"
    )
    weights = norm("n2", 16)
    plain = trained(build(body, w1=(16, 3, 3, 3), w2=(16, 16, 3, 3), **weights), 8, 0, 1)
    half = of_type(plain, TensorProto.FLOAT16, np.float16)
    result = spiq.quantize(half, spiq.Config(timing=False))
    assert any("what the network does with such pictures" in n for n in result.report.notes)


def test_what_is_done_in_double_beside_layers_of_single_precision_stays() -> None:
    body = "[a] d = Cast<to=11>(x) [b] e = Exp(d) [c] f = Cast<to=1>(e) [l] y = Conv(f, w)"
    result = spiq.quantize(build(body, w=(4, 3, 1, 1)), spiq.Config(timing=False))
    assert any(node.op_type == "Cast" for node in onnx.load_from_string(result.model).graph.node)
