"""Target tensorrt-fp16: what stays in float is half precision, and the network loads and agrees."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from small_networks import bn, build, images_for, norm, run, trained
from spiq import Config, Quantized, quantize
from spiq.emit.half import floats_as_half, nearest_half
from spiq.graph.shapes import infer
from spiq.planning.plan.derive import next_half
from spiq.runtime.snr import snr_db

HALF, SINGLE = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


def network(opset: int = 17) -> onnx.ModelProto:
    """Layers, a sum, a layer that is excluded, operators in float, and a Resize by factors."""
    body = (
        f"[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) {bn('c1', 'n1')}[r1] r1 = Relu(n1) "
        f"[c2] c2 = Conv<pads=[1,1,1,1]>(r1, w2) {bn('c2', 'n2')}[a] a = Add(n2, r1) "
        f"[kept] c3 = Conv(a, w3) {bn('c3', 'n3')}[s] s = Sigmoid(n3) "
        '[up] u = Resize<mode="linear">(s, , factors) [c4] c4 = Conv(u, w4) '
        "[p] p = GlobalAveragePool(c4) [e] e = Add(p, epsilon) [f] y = Flatten(e)"
    )
    weights = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 8, 1, 1), "w4": (8, 8, 1, 1)}
    numbers = {
        "factors": np.array([1, 1, 2, 2], np.float32),
        "epsilon": np.array(1e-9, np.float32),
    }
    norms = norm("n1", 8, spread=4) | norm("n2", 8, spread=4) | norm("n3", 8)
    return trained(build(body, opset=opset, **weights, **numbers, **norms))


@pytest.fixture(scope="module", params=[13, 17, 21])
def made(request: pytest.FixtureRequest) -> tuple[onnx.ModelProto, Quantized]:
    model = network(request.param)
    return model, quantize(model, Config(target="tensorrt-fp16", exclude=("kept",)))


def kinds(proto: onnx.ModelProto) -> dict[str, int]:
    """Return the type of each tensor, as onnx infers it: a graph that fits together."""
    inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True).graph
    infos = [*inferred.value_info, *inferred.input, *inferred.output]
    known = {info.name: info.type.tensor_type.elem_type for info in infos}
    return known | {tensor.name: tensor.data_type for tensor in inferred.initializer}


def test_it_loads_and_is_near_the_float_network(made: tuple[onnx.ModelProto, Quantized]) -> None:
    model, result = made
    feed = images_for(model, 4)
    single = quantize(model, Config(target="tensorrt", exclude=("kept",)))
    wanted, found = run(model, feed)["y"], run(result.model, feed)["y"]
    assert found.dtype == np.float32
    assert snr_db(wanted, found) > snr_db(wanted, run(single.model, feed)["y"]) - 2
    assert result.plan.layers.keys() == single.plan.layers.keys()


def test_everything_between_the_casts_is_half(made: tuple[onnx.ModelProto, Quantized]) -> None:
    proto = onnx.load_from_string(made[1].model)
    known, graph = kinds(proto), proto.graph
    assert next(entry.version for entry in proto.opset_import if not entry.domain) >= 19
    assert {known[info.name] for info in (*graph.input, *graph.output)} == {SINGLE}
    for node in graph.node:
        stored = node.op_type == "QuantizeLinear" and node.input[0] == "x"
        names = node.input if node.op_type != "Cast" else ()
        floats = {known[name] for name in names if known.get(name) in (SINGLE, HALF)}
        if node.op_type == "Resize":  # its factors are single precision by ONNX's schema
            assert floats == {SINGLE, HALF}
        else:
            assert floats <= {SINGLE if stored else HALF}, node.op_type
    layers = [node for node in graph.node if node.op_type == "Conv"]
    assert len(layers) == 4
    assert {known[name] for node in layers for name in (*node.input, *node.output)} == {HALF}


def test_scales_are_the_same_on_both_sides(made: tuple[onnx.ModelProto, Quantized]) -> None:
    graph = onnx.load_from_string(made[1].model).graph
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    written = {n.output[0]: arrays[n.input[1]] for n in graph.node if n.op_type == "QuantizeLinear"}
    back = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    pairs = [(written[n.input[0]], arrays[n.input[1]]) for n in back if n.input[0] in written]
    assert pairs
    assert all(float(one) == float(other) > 0 for one, other in pairs)


def test_weights_steps_are_exact_however_small() -> None:
    """Steps below 6e-5 have few digits in half precision; the integers are on what is left."""
    model = network()
    for tensor in model.graph.initializer:
        if tensor.name == "w2":
            small = numpy_helper.to_array(tensor) * np.float32(1e-4)
            tensor.CopyFrom(numpy_helper.from_array(small, "w2"))
        if tensor.name.startswith("n2") and tensor.name.endswith(("mean", "var")):
            power = 1e-4 if tensor.name.endswith("mean") else 1e-8
            kept = numpy_helper.to_array(tensor) * np.float32(power)
            tensor.CopyFrom(numpy_helper.from_array(kept, tensor.name))
    result = quantize(model, Config(target="tensorrt-fp16"))
    other = quantize(model, Config(target="tensorrt"))
    assert result.report.snr_db["y"] > other.report.snr_db["y"] - 2


def test_operators_with_graphs_of_their_own_stay_single() -> None:
    body = (
        "[m] m = Mul(x, two) [r] s = ReduceSum<keepdims=0>(m) [g] c = Greater(s, zero) "
        "[i] z = If(c) <then_branch = yes () => (float[1,2] a) { a = Add(m, m) }, "
        "else_branch = no () => (float[1,2] b) { b = Mul(m, m) }> [n] y = Neg(z)"
    )
    text = (
        f'<ir_version: 8, opset_import: ["" : 19]> g (float[1,2] x) => (float[1,2] y) '
        f"<float two = {{2}}, float zero = {{0}}> {{ {body} }}"
    )
    model = ir.serde.deserialize_model(onnx.parser.parse_model(text))
    infer(model)
    floats_as_half(model.graph)
    proto = ir.serde.serialize_model(model)
    known = kinds(proto)
    assert (known["m"], known["z"], known["y"]) == (HALF, SINGLE, SINGLE)
    x = np.array([[1, 3]], np.float32)
    assert run(proto, {"x": x})["y"].tolist() == [[-4, -12]]


def test_numbers_stay_what_they_stand_for() -> None:
    given = np.array([0, 1e-12, -1e-12, 1e9, -np.inf, 0.5], np.float32)
    found = nearest_half(given)
    assert found.dtype == np.float16
    assert found[0] == 0 and 0 < found[1] < 1e-7 and found[2] == -found[1]
    assert found[3] == 65504 and found[4] == -np.inf and found[5] == 0.5


@pytest.mark.parametrize("step", [1e-9, 3e-7, 1e-3, 0.1, 300.0])
def test_steps_are_rounded_up(step: float) -> None:
    (found,) = next_half(np.array([step]))
    assert found >= step
    assert float(np.float16(found)) == found
    assert float(np.nextafter(np.float16(found), np.float16(0))) < step
