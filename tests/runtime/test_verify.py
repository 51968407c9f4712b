"""Verification: what is wrong with a quantized network must not pass."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from small_networks import Tensors, bn, build, floats, norm, resolved_of, trained
from spiq import Config, Quantized, quantize
from spiq.analysis import analyse
from spiq.errors import ModelError, VerificationError
from spiq.io.read import read
from spiq.runtime import layerwise
from spiq.runtime.reference import Reference, reference
from spiq.runtime.session import session
from spiq.runtime.synthetic import synthetic_inputs
from spiq.runtime.verify import Verified, verify

BODY = (
    "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r] r = Relu(n1) "
    "[c2] y = Conv<pads=[1,1,1,1]>(r, w2)"
)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3)}
    return trained(build(BODY, inputs="float[1,3,16,16] x", **shapes, **norm("n1", 8)))


@pytest.fixture(scope="module")
def result(model: onnx.ModelProto) -> Quantized:
    return quantize(model)


def edited(result: Quantized, edit: Callable[[onnx.GraphProto], None]) -> bytes:
    proto = onnx.load_from_string(result.model)
    edit(proto.graph)
    return proto.SerializeToString()


def check(model: onnx.ModelProto, quantized: bytes) -> Verified:
    return verify(floats_of(model), quantized, resolved_of(model)[2])


def floats_of(model: onnx.ModelProto, given: str | None = None) -> Reference:
    ends = analyse(read(model), Config()).pictured
    return reference(given or model.SerializeToString(), ends)


def figures(found: Verified) -> dict[str, float]:
    return {name: one.db for name, one in found.snr.items()}


def initializer(graph: onnx.GraphProto, ending: str) -> onnx.TensorProto:
    return next(tensor for tensor in graph.initializer if tensor.name.endswith(ending))


def test_good_network_passes_and_its_snr_is_that_of_the_report(
    model: onnx.ModelProto, result: Quantized
) -> None:
    assert figures(check(model, result.model)) == result.report.snr_db
    assert result.report.snr_db["y"] > 25


def test_model_given_by_path(model: onnx.ModelProto, result: Quantized, tmp_path: object) -> None:
    path = f"{tmp_path}/model.onnx"
    onnx.save(model, path)
    found = verify(floats_of(model, path), result.model, resolved_of(model)[2])
    assert figures(found) == result.report.snr_db


@pytest.mark.parametrize("steps", [3, 40])
def test_kernel_that_computes_something_else(
    steps: int, model: onnx.ModelProto, result: Quantized, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stored number of the fused run is off; the graph as written says otherwise."""
    tamper(monkeypatch, steps)
    with pytest.raises(VerificationError, match=f"tensor '.*': .* {steps} steps away"):
        check(model, result.model)


@pytest.mark.parametrize("steps", [1, 2])
def test_kernel_that_rounds_otherwise(
    steps: int, model: onnx.ModelProto, result: Quantized, monkeypatch: pytest.MonkeyPatch
) -> None:
    tamper(monkeypatch, steps)
    check(model, result.model)


@pytest.mark.parametrize("between", ["Floor(r)", "Where(above, r, none)"])
def test_a_last_bit_may_decide_few_numbers(between: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention of the largest scores alone was refused: a comparison was another one."""
    body = "[c] c = Conv(x, w1) [r] r = Relu(c) above = Greater(r, one) "
    model = build(
        f"{body} j = {between} [d] y = Conv(j, w2)",
        one=floats(1), none=floats(0), w1=(8, 3, 1, 1), w2=(4, 8, 1, 1),
    )  # fmt: skip
    result, real = quantize(model), layerwise.call

    def meaning(share: float) -> Callable[..., list[np.ndarray]]:
        def call(opened: object, names: list[str], given: Tensors, **more: str) -> list[np.ndarray]:
            found = real(opened, names, given, **more)  # type: ignore[arg-type]
            if any(name.endswith("::stored") for name in given):
                numbers = found[names.index("j_quantized")].reshape(-1)
                numbers[: int(share * numbers.size)] ^= 64
            return found

        return call

    monkeypatch.setattr(layerwise, "call", meaning(0.01))
    check(model, result.model)
    monkeypatch.setattr(layerwise, "call", meaning(0.1))
    with pytest.raises(VerificationError, match="steps away"):
        check(model, result.model)


def tamper(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Move one number of the last stored tensor that the kernels make."""
    real = layerwise.stored_tensors

    def run(*given: object, **more: object) -> dict[str, np.ndarray]:
        stored = real(*given, **more)  # type: ignore[arg-type]
        last = list(stored)[-1]
        array = stored[last].copy()
        number = array.reshape(-1)[:1].astype(int)
        array.reshape(-1)[:1] = np.where(number < 128, number + steps, number - steps)
        return {**stored, last: array}

    monkeypatch.setattr(layerwise, "stored_tensors", run)


def test_wrong_weight_shows_in_the_snr(model: onnx.ModelProto, result: Quantized) -> None:
    """Consistent in both runs, so the kernels agree; against the float network it is wrong."""

    def edit(graph: onnx.GraphProto) -> None:
        tensor = initializer(graph, "_int8")
        flipped = -numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(flipped, tensor.name))

    assert check(model, edited(result, edit)).snr["y"].db < 3


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_output_that_is_not_finite(
    number: float, model: onnx.ModelProto, result: Quantized
) -> None:
    def edit(graph: onnx.GraphProto) -> None:
        back = next(node for node in graph.node if "y" in node.output)
        back.output[0] = "almost"
        graph.initializer.append(numpy_helper.from_array(floats(number), "odd"))
        graph.node.append(onnx.helper.make_node("Add", ["almost", "odd"], ["y"]))

    with pytest.raises(VerificationError, match="'y' of the quantized network is not finite"):
        check(model, edited(result, edit))


def test_layer_that_falls_back_to_float(model: onnx.ModelProto, result: Quantized) -> None:
    """Two quantizers on one convolution's output cost its integer kernel."""

    def edit(graph: onnx.GraphProto) -> None:
        first = next(n for n in graph.node if n.op_type == "Conv").output[0]
        quantizer = next(n for n in graph.node if n.input[0] == first)
        graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "coarse"))
        inputs = [first, "coarse", quantizer.input[2]]
        graph.node.append(onnx.helper.make_node("QuantizeLinear", inputs, ["q2"]))
        graph.node.append(onnx.helper.make_node("DequantizeLinear", ["q2", *inputs[1:]], ["d2"]))
        graph.output.append(onnx.helper.make_tensor_value_info("d2", 1, None))

    with pytest.raises(VerificationError, match="1 of 2 quantized layers fell back to float"):
        check(model, edited(result, edit))


def test_runtime_that_fails(model: onnx.ModelProto, result: Quantized) -> None:
    """A quantizer per axis behind a convolution loads, and fails at run time."""

    def edit(graph: onnx.GraphProto) -> None:
        first = next(n for n in graph.node if n.op_type == "Conv").output[0]
        quantizer = next(n for n in graph.node if n.input[0] == first)
        arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        for index, name in enumerate(("scales", "points"), start=1):
            wide = np.repeat(arrays[quantizer.input[index]], 8)
            graph.initializer.append(numpy_helper.from_array(wide, name))
        back = next(n for n in graph.node if n.input[0] == quantizer.output[0])
        for node in (quantizer, back):
            node.input[1], node.input[2] = "scales", "points"
            node.attribute.append(onnx.helper.make_attribute("axis", 1))

    with pytest.raises(VerificationError):
        check(model, edited(result, edit))


def test_float_output_that_is_not_finite(model: onnx.ModelProto) -> None:
    """Nothing could be compared with it."""
    odd = onnx.ModelProto.FromString(model.SerializeToString())
    last = next(node for node in odd.graph.node if "y" in node.output)
    last.output[0] = "almost"
    odd.graph.initializer.append(numpy_helper.from_array(floats(-1e6), "less"))
    odd.graph.node.append(onnx.helper.make_node("Add", ["almost", "less"], ["below"]))
    odd.graph.node.append(onnx.helper.make_node("Sqrt", ["below"], ["y"]))
    with pytest.raises(ModelError, match="float network: its output 'y' is not finite"):
        quantize(odd)


def test_output_of_another_shape(model: onnx.ModelProto, result: Quantized) -> None:
    def edit(graph: onnx.GraphProto) -> None:
        back = next(node for node in graph.node if "y" in node.output)
        back.output[0] = "almost"
        graph.initializer.append(numpy_helper.from_array(np.array([1, -1]), "flat"))
        graph.node.append(onnx.helper.make_node("Reshape", ["almost", "flat"], ["y"]))
        graph.output[0].type.tensor_type.ClearField("shape")

    with pytest.raises(VerificationError, match=r"output 'y' .* is float32 \[1, 2048\], but"):
        check(model, edited(result, edit))


def test_output_of_another_type(model: onnx.ModelProto, result: Quantized) -> None:
    def edit(graph: onnx.GraphProto) -> None:
        back = next(node for node in graph.node if "y" in node.output)
        back.output[0] = "almost"
        graph.node.append(onnx.helper.make_node("Cast", ["almost"], ["y"], to=11))
        graph.output[0].type.tensor_type.elem_type = 11

    with pytest.raises(VerificationError, match=r"output 'y' .* is float64 "):
        check(model, edited(result, edit))


def test_layer_that_nothing_depends_on_is_no_loss() -> None:
    """The runtime does not compute it at all: only its shape is asked for."""
    body = "[c] c = Conv(x, w1) [d] y = Conv(c, w2) [e] e = Conv(c, w3) [s] z = Shape(e)"
    shapes = {"w1": (8, 3, 1, 1), "w2": (8, 8, 1, 1), "w3": (8, 8, 1, 1)}
    model = build(body, inputs="float[1,3,8,8] x", outputs="y, int64[4] z", **shapes)
    assert quantize(model).report.snr_db["y"] > 20


def test_low_snr_is_no_error(model: onnx.ModelProto) -> None:
    snr = quantize(model, Config(weight_bits=2, activation_bits=3)).report.snr_db["y"]
    assert np.isfinite(snr) and snr < 14


def test_constant_output_has_no_snr_and_says_why() -> None:
    body = "[c] c = Conv(x, w) [m] m = Mul(c, zero) [n] n = Relu(c)"
    model = build(body, inputs="float[1,3,8,8] x", outputs="m, n", w=(4, 3, 1, 1), zero=floats(0))
    report = quantize(model).report
    assert report.no_snr == {"m": "it is constant"} and set(report.snr_db) == {"n"}


def test_synthetic_inputs_have_the_types_and_sizes_of_the_network() -> None:
    inputs = "float[N,3,H,16] a, float[N,7] b, int64[2,3] c, uint8[1] d, float e"
    body = (
        "[m] m = ReduceMean<keepdims=0>(a) [n] n = ReduceMean<keepdims=0>(b) [s] s = Add(m, n) "
        "[t] t = Add(s, e) [cf] cf = Cast<to=1>(c) [df] df = Cast<to=1>(d) [u] u = Add(cf, df) "
        "[v] y = Add(u, t)"
    )
    opened = session(build(body, inputs=inputs).SerializeToString())
    found = synthetic_inputs(opened)
    images = len(found["a"])
    assert found["a"].shape == (images, 3, 64, 16) and found["a"].dtype == np.float32
    assert found["b"].shape == (images, 7) and found["e"].shape == ()
    assert found["c"].dtype == np.int64 and found["d"].dtype == np.uint8
    assert np.isfinite(opened.run(None, found)[0]).all()


def test_inputs_that_share_a_dynamic_batch_get_the_same() -> None:
    body = "[c] c = Conv(x, w) [p] p = GlobalAveragePool(c) [f] f = Flatten(p) [a] y = Add(f, z)"
    model = build(body, inputs="float[N,3,512,512] x, float[N,4] z", w=(4, 3, 1, 1))
    found = synthetic_inputs(session(model.SerializeToString()))
    assert len(found["x"]) == len(found["z"]) >= 1
    assert quantize(model).report.snr_db["y"] > 25


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16])
def test_steps_apart_do_not_wrap_around(kind: type[np.integer]) -> None:
    ends = np.array([np.iinfo(kind).min, np.iinfo(kind).max, 5], kind)
    assert layerwise._steps_apart(ends, ends[[1, 0, 2]]) == np.iinfo(kind).max - np.iinfo(kind).min
    assert layerwise._steps_apart(ends[2:], ends[2:] - kind(2)) == 2
    assert layerwise._steps_apart(ends[:0], ends[:0]) == 0
