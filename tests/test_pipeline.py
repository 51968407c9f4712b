"""The whole way on small networks that are awkward in one respect each."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, numpy_helper

import spiq
from small_mobilenet import model_path
from small_networks import bn, build, floats, he, images_for, norm, optimized, run, trained, whole
from spiq import Config, Quantized, apply, plan, quantize
from spiq.errors import ConfigError, ModelError, UnsupportedError
from spiq.pipeline import STEPS
from spiq.runtime.snr import snr_db

STEM = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r] r = Relu(n1) "
TAIL = "[c2] y = Conv<pads=[1,1,1,1]>(r, w2)"
SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3)}
NORM = norm("n1", 8, spread=10)


def plain(**changed: object) -> onnx.ModelProto:
    options = {**SHAPES, **NORM, **changed}
    body = str(options.pop("body", STEM + TAIL))
    return trained(build(body, **options))  # type: ignore[arg-type]


def good(
    model: onnx.ModelProto, *, layers: int, snr: float = 25, config: Config | None = None
) -> Quantized:
    """Quantize, and check the result as far as one can without knowing the network."""
    before = model.SerializeToString()
    result = quantize(model, config)
    assert model.SerializeToString() == before
    assert len(result.plan.layers) == layers
    found = optimized(result.model)
    kernels = ("QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat")
    assert sum(found[kernel] for kernel in kernels) == layers
    feed = images_for(model)
    expected, actual = run(model, feed), run(result.model, feed)
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype and actual[name].shape == array.shape
        assert np.array_equal(array, actual[name]) or snr_db(array, actual[name]) > snr, name
    onnx.checker.check_model(onnx.load_from_string(result.model), full_check=True)
    return result


# Channels that hold nothing


def changed(name: str, channel: int | slice, number: float) -> dict[str, np.ndarray]:
    array = NORM[name].copy()
    array[channel] = number
    return {name: array}


@pytest.mark.parametrize("channel", [2, slice(1, 8)], ids=["one", "all but one"])
def test_channels_of_gamma_0(channel: int | slice) -> None:
    good(plain(**changed("n1_g", channel, 0.0)), layers=2)


@pytest.mark.parametrize("beta", [-50.0, 50.0])
def test_channels_far_from_0(beta: float) -> None:
    good(plain(**changed("n1_b", 3, beta)), layers=2, snr=20)


def test_channels_that_are_always_dead() -> None:
    good(plain(**changed("n1_b", slice(1, 8), -50.0)), layers=2)


def test_nothing_but_dead_channels() -> None:
    model = plain(**changed("n1_b", slice(0, 8), -50.0))
    result = quantize(model)
    assert (run(result.model, images_for(model))["y"] == 0).all()


@pytest.mark.parametrize("name", ["w1", "w2"])
@pytest.mark.parametrize("rows", [1, 8])
def test_rows_of_zeros(name: str, rows: int) -> None:
    weight = he(np.random.default_rng(0), SHAPES[name])
    weight[:rows] = 0
    good(plain(**{name: weight}), layers=2)


def test_columns_of_zeros() -> None:
    weight = he(np.random.default_rng(0), SHAPES["w2"])
    weight[:, 2:6] = 0
    good(plain(w2=weight), layers=2)


def test_huge_bias_beside_tiny_weights() -> None:
    weight = he(np.random.default_rng(0), SHAPES["w1"])
    weight[1] *= 1e-12
    body = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1, b1) [r] r = Relu(c1) " + TAIL
    bias = floats(0, 300, -300, 1, 0, 0, 1e-30, 0)
    good(plain(body=body, w1=weight, b1=bias), layers=2, snr=20)


# Shapes


@pytest.mark.parametrize(
    "inputs",
    ["float[N,3,H,W] x", "float[?,3,?,?] x", "float[N,3,16,W] x", "float[1,3,16,16] x"],
)
def test_dynamic_sizes(inputs: str) -> None:
    result = good(plain(inputs=inputs), layers=2)
    if "H" in inputs:
        for shape in ((3, 3, 20, 12), (1, 3, 5, 5)):
            x = np.random.default_rng(0).uniform(-2, 2, shape).astype(np.float32)
            assert run(result.model, {"x": x})["y"].shape == (shape[0], 8, *shape[2:])


def test_batch_does_not_change_the_result() -> None:
    model = plain()
    result, x = quantize(model), images_for(model)["x"]
    whole_batch = run(result.model, {"x": x})["y"]
    for index in range(len(x)):
        one = run(result.model, {"x": x[index : index + 1]})["y"]
        np.testing.assert_array_equal(one[0], whole_batch[index])


def test_dynamic_size_before_a_pooled_head() -> None:
    body = STEM + "[g] g = GlobalAveragePool(r) [f] f = Flatten(g) [o] y = Gemm<transB=1>(f, wg)"
    good(plain(body=body, inputs="float[N,3,H,W] x", wg=(5, 8)), layers=2)


@pytest.mark.parametrize(
    ("inputs", "pads", "kernel"),
    [("float[2,3,40] x", 1, (3,)), ("float[2,3,8,8,8] x", 1, (3, 3, 3))],
    ids=["1-D", "3-D"],
)
def test_other_dimensions(inputs: str, pads: int, kernel: tuple[int, ...]) -> None:
    padding = [pads] * (2 * len(kernel))
    body = (
        f"[c1] c1 = Conv<pads={padding}>(x, wa) {bn('c1', 'n1')}[r] r = Relu(n1) "
        f"[m] m = MaxPool<kernel_shape={[2] * len(kernel)}>(r) [c2] y = Conv(m, wb)"
    )
    ones = (1,) * len(kernel)
    model = build(body, inputs=inputs, wa=(8, 3, *kernel), wb=(4, 8, *ones), **norm("n1", 8))
    good(trained(model), layers=2)


# Spelling of the model


def test_shared_weights_and_biases() -> None:
    body = (
        f"{STEM}[c2] c2 = Conv<pads=[1,1,1,1]>(r, w2, b) {bn('c2', 'n2')}[q] q = Relu(n2) "
        f"[c3] c3 = Conv<pads=[1,1,1,1]>(q, w2, b) {bn('c3', 'n3')}[s] s = Relu(n3) "
        "[c4] y = Conv<pads=[1,1,1,1]>(s, w2, b)"
    )
    model = plain(body=body, b=(8,), **norm("n2", 8), **norm("n3", 8))
    good(model, layers=4, snr=20)


def test_initializers_that_are_graph_inputs_too() -> None:
    model = plain()
    expected = quantize(model).model
    for tensor in model.graph.initializer:
        model.graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    result = quantize(model)
    assert [value.name for value in onnx.load_from_string(result.model).graph.input] == ["x"]
    assert result.model == expected


def test_several_outputs_and_one_that_is_an_input() -> None:
    body = f"{STEM}[a] a = Conv(r, wa) [b] b = Sigmoid(n1) [i] d = Identity(x) [e] e = Identity(a)"
    good(plain(body=body, outputs="a, b, d, r, e", wa=(4, 8, 1, 1)), layers=2)


def test_one_tensor_as_two_outputs() -> None:
    body = f"{STEM}{TAIL} [i] z = Identity(y)"
    good(plain(body=body, outputs="z, y"), layers=2)


def test_names_types_and_shapes_of_inputs_and_outputs_stay() -> None:
    model = plain(inputs="float[N,3,16,16] x", outputs="float[N,8,16,16] y")
    result = onnx.load_from_string(quantize(model).model)
    assert list(result.graph.input) == list(model.graph.input)
    assert list(result.graph.output) == list(model.graph.output)


@pytest.mark.parametrize("opset", [11, 12, 13, 18, 21])
def test_opsets(opset: int) -> None:
    result = onnx.load_from_string(good(plain(opset=opset), layers=2).model)
    assert result.opset_import[0].version == max(opset, 13)


def test_every_kind_of_source_gives_the_same_bytes(tmp_path: Path) -> None:
    proto = plain()
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    external = tmp_path / "external.onnx"
    onnx.save(proto, external, save_as_external_data=True, size_threshold=0)
    proto = onnx.load(path)
    expected = quantize(proto).model
    sources = (path, str(path), path.read_bytes(), ir.serde.deserialize_model(proto), external)
    for source in sources:
        assert quantize(source).model == expected


def test_tensors_that_have_the_names_that_emission_would_give() -> None:
    body = (
        f"{STEM}[c2] r_quantized = Conv<pads=[1,1,1,1]>(r, w2) "
        "[q] r_dequantized = Relu(r_quantized) [a] n1_folded = Tanh(n1) "
        "[b] r_folded = Mul(r_dequantized, n1_folded) [c3] r_real = Conv(r_folded, w3)"
    )
    model = plain(body=body, outputs="r_real, r_folded, n1", w3=(4, 8, 1, 1))
    good(model, layers=3, snr=20)


def test_float_tensor_that_is_an_output_is_not_rounded() -> None:
    body = f"{STEM}[t] t = Tanh(r) [u] u = Neg(t) [o] y = Conv(t, wo)"
    model = plain(body=body, outputs="y, t, u", wo=(4, 8, 1, 1))
    result = good(model, layers=2)
    feed = images_for(model)
    found = run(result.model, feed)
    np.testing.assert_array_equal(found["u"], -found["t"])
    nodes = onnx.load_from_string(result.model).graph.node
    assert next(node for node in nodes if "t" in node.output).op_type == "Tanh"


def test_nodes_without_names() -> None:
    model = plain()
    for node in model.graph.node:
        node.name = ""
    good(model, layers=2)


# Kinds of networks

MLP = (
    "[g1] a = Gemm<transB=1>(x, wa, ba) [r1] b = Relu(a) "
    "[g2] c = Gemm<transB=1>(b, wb, bb) [r2] d = Relu(c) [g3] y = Gemm<transB=1>(d, wc, bc)"
)
MATMULS = "[g1] a = MatMul(x, wa) [r1] b = Relu(a) [g2] y = MatMul(b, wb)"


@pytest.mark.parametrize("end", ["", "[r3] z = Relu(y)"])
def test_gemms_and_relus(end: str) -> None:
    shapes = {"wa": (16, 10), "ba": (16,), "wb": (16, 16), "bb": (16,), "wc": (4, 16), "bc": (4,)}
    outputs = "z" if end else "y"
    good(build(MLP + end, inputs="float[N,10] x", outputs=outputs, **shapes), layers=3)


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Softplus"])
@pytest.mark.parametrize("stays", ["", "g3"], ids=["float operator", "float layer"])
def test_gemm_whose_activation_only_float_operators_read(activation: str, stays: str) -> None:
    """The runtime would fuse the two in float; the Gemm has to end on integers."""
    shapes = {"wa": (16, 10), "ba": (16,), "wb": (16, 16), "bb": (16,), "wc": (4, 16), "bc": (4,)}
    if stays:
        model = build(MLP.replace("Relu(c)", f"{activation}(c)"), inputs="float[N,10] x", **shapes)
        good(model, layers=2, config=Config(exclude=(stays,)))
    else:
        end = f"[r3] q = {activation}(y) [n] z = Neg(q)"
        good(build(MLP + end, inputs="float[N,10] x", outputs="z", **shapes), layers=3, snr=20)


def test_matmuls() -> None:
    good(build(MATMULS, inputs="float[N,10] x", wa=(10, 16), wb=(16, 4)), layers=2)


def test_matmul_of_rank_3() -> None:
    body = f"{STEM}[s] s = Reshape(r, sh) [t] t = Transpose<perm=[0,2,1]>(s) [mm] y = MatMul(t, wm)"
    good(plain(body=body, sh=whole(0, 8, -1), wm=(8, 5)), layers=2)


@pytest.mark.parametrize("slope", [0.01, 0.3])
def test_leaky_relus(slope: float) -> None:
    leaky = f"LeakyRelu<alpha={slope}>"
    body = (
        f"[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) {bn('c1', 'n1')}[r] r = {leaky}(n1) "
        f"[c2] c2 = Conv<pads=[1,1,1,1]>(r, w2) {bn('c2', 'n2')}[q] q = {leaky}(n2) "
        "[c3] y = Conv(q, w3)"
    )
    good(plain(body=body, w3=(4, 8, 1, 1), **norm("n2", 8, spread=10)), layers=3)


def test_image_with_channels_last() -> None:
    body = f"[t] t = Transpose<perm=[0,3,1,2]>(x) {STEM}{TAIL}".replace("Conv<pads=[1,1,1,1]>(x",
        "Conv<pads=[1,1,1,1]>(t") + " [u] z = Transpose<perm=[0,2,3,1]>(y)"  # fmt: skip
    good(plain(body=body, inputs="float[N,16,16,3] x", outputs="z"), layers=2)


def test_pixel_shuffle_before_a_convolution() -> None:
    body = (
        f"{STEM}[s] s = Reshape(r, s6) [t] t = Transpose<perm=[0,1,4,2,5,3]>(s) "
        "[u] u = Reshape(t, s4) [o] y = Conv(u, wo)"
    )
    shapes = {"s6": whole(1, 2, 2, 2, 16, 16), "s4": whole(1, 2, 32, 32), "wo": (4, 2, 1, 1)}
    good(plain(body=body, inputs="float[1,3,16,16] x", **shapes), layers=2)


def test_two_inputs() -> None:
    body = (
        "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) [c2] c2 = Conv<pads=[1,1,1,1]>(z, w1) "
        f"[a] a = Add(c1, c2) {bn('a', 'n1')}[r] r = Relu(n1) [o] y = Conv(r, wo)"
    )
    inputs = "float[N,3,16,16] x, float[N,3,16,16] z"
    good(plain(body=body, inputs=inputs, wo=(4, 8, 1, 1)), layers=4)


# Options


@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "snr"),
    [(8, 8, 30), (6, 8, 18), (4, 8, 8), (8, 4, 6), (4, 4, 5), (2, 3, -2)],
)
def test_bits(weight_bits: int, activation_bits: int, snr: float) -> None:
    config = Config(weight_bits=weight_bits, activation_bits=activation_bits)
    result = good(plain(), layers=2, snr=snr, config=config)
    graph = onnx.load_from_string(result.model).graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.INT8:
            top = np.abs(numpy_helper.to_array(tensor).astype(int)).max()
            assert top in (0, 2 ** (weight_bits - 1) - 1)
    assert {n: t.bits for n, t in result.plan.tensors.items()} == {
        "x": 8,
        "r": activation_bits,
        "y": 8,
    }
    for name, array in stored_integers(result, images_for(plain())).items():
        assert array.max() <= 2 ** result.plan.tensors[name.rsplit("_", 1)[0]].bits - 1, name


def stored_integers(result: Quantized, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    proto = onnx.load_from_string(result.model)
    names = {name for node in proto.graph.node for name in node.output}
    stored = {n.input[0] for n in proto.graph.node if n.op_type == "DequantizeLinear"} & names
    for name in sorted(stored):
        value = onnx.helper.make_tensor_value_info(name, TensorProto.UINT8, None)
        proto.graph.output.append(value)
    found = run(proto, feed)
    return {name: found[name] for name in stored}


def test_more_bits_are_better() -> None:
    by_bits = [
        quantize(plain(), Config(weight_bits=b, activation_bits=b)).report.snr_db["y"]
        for b in (3, 4, 6, 8)
    ]
    assert by_bits == sorted(by_bits)


def test_scales_per_channel_beat_one_scale_where_channels_differ() -> None:
    wide = norm("n1", 8, spread=300)
    rows = (1 / wide["n1_g"]).reshape(1, 8, 1, 1)
    model = plain(**wide, w2=he(np.random.default_rng(3), SHAPES["w2"]) * rows)
    feed = images_for(model)
    expected = run(model, feed)["y"]
    snr = {
        method: snr_db(expected, run(quantize(model, Config(method=method)).model, feed)["y"])
        for method in ("spiq", "static")
    }
    assert snr["spiq"] > snr["static"] + 6


def test_metadata_says_how_it_was_made() -> None:
    config = Config(weight_bits=6, target="portable", method="static")
    result = quantize(plain(), config)
    found = {entry.key: entry.value for entry in onnx.load_from_string(result.model).metadata_props}
    assert found["spiq.version"] == spiq.__version__
    assert found["spiq.method"] == "static"
    said = json.loads(found["spiq.plan"])
    assert said["weight_bits"] == 6 and said["target"] == "portable"
    assert said["model_hash"] == result.plan.model_hash
    assert any("input 'x'" in note for note in said["notes"])


def test_everything_excluded() -> None:
    with pytest.raises(UnsupportedError, match="nothing to quantize"):
        quantize(plain(), Config(exclude=("*",)))


@pytest.mark.parametrize(("name", "other"), [("c1", "c2"), ("c2", "c1")])
def test_one_layer_excluded(name: str, other: str) -> None:
    result = good(plain(), layers=1, config=Config(exclude=(name,)))
    assert result.plan.left_in_float == {name: "excluded"}
    assert list(result.plan.layers) == [other]


@pytest.mark.parametrize("options", [{"exclude": "c1"}, {"input_range": (0, 1)}])
def test_options_that_are_no_tuple_of_what_they_should_be(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="give"):
        Config(**options)  # type: ignore[arg-type]


def test_excluding_what_is_not_there() -> None:
    with pytest.raises(ConfigError, match="c9"):
        quantize(plain(), Config(exclude=("c9",)))


@pytest.mark.parametrize(
    ("build_model", "error"),
    [
        (lambda: build("[r] y = Relu(x)"), "no Conv, Gemm or MatMul"),
        (
            lambda: build("[m] y = MatMul(x, w)", inputs="float[N,5,4] x", w=(1, 4, 3)),
            "no weight is a constant matrix",
        ),
    ],
    ids=["no layer", "a stack of matrices"],
)
def test_nothing_to_quantize(build_model: Callable[[], onnx.ModelProto], error: str) -> None:
    with pytest.raises(UnsupportedError, match=error):
        quantize(build_model())


# Results


def test_progress_names_each_step_in_order() -> None:
    told: list[str] = []
    quantize(plain(), Config(timing=True), progress=told.append)
    assert tuple(told[: len(STEPS)]) == STEPS and set(told) == set(STEPS)
    told.clear()
    result = quantize(plain(), Config(timing=False), progress=told.append)
    assert tuple(told) == STEPS[:-1]
    told.clear()
    plan(plain(), progress=told.append)
    assert tuple(told) == STEPS[:4]
    told.clear()
    spiq.apply(plain(), result.plan, progress=told.append)
    assert set(told) < set(STEPS) and told[-1] == "verify"


def test_result_saves_and_runs(tmp_path: Path) -> None:
    model = plain()
    result = quantize(model)
    result.save(tmp_path / "model.int8.onnx")
    assert (tmp_path / "model.int8.onnx").read_bytes() == result.model
    feed = images_for(model)
    np.testing.assert_array_equal(result.run(feed)["y"], run(result.model, feed)["y"])


def test_report_counts_what_was_done() -> None:
    model = plain()
    report = quantize(model, Config(exclude=("c2",))).report
    assert report.quantized_layers == 1
    assert [layer.name for layer in report.float_layers] == ["c2"]
    assert [layer.name for layer in report.layers] == ["c1", "c2"]
    assert report.layers[1].reason == "excluded" and report.layers[1].statistics == "propagated"
    assert report.bytes_before == model.ByteSize() and report.bytes_after > 0
    assert report.seconds > 0 and report.snr_db["y"] > 25


def test_outputs_that_are_no_floats_or_whose_size_depends_on_what_is_found() -> None:
    """Boxes that are kept, classes and their names: they run, and have no SNR."""
    body = (
        BRANCHES + "[s] s = Reshape(c, shape) [m] m = ReduceMax<axes=[2],keepdims=1>(s) "
        "[t] t = Transpose<perm=[0,2,1]>(m) [k] kept = NonMaxSuppression(s, t, most, iou, least) "
        "[z] best = ArgMax<axis=1,keepdims=0>(c) [g] said = Gather(words, best)"
    )
    constants = {
        "shape": whole(1, -1, 4), "most": whole(300), "iou": floats(0.5), "least": floats(0.3),
        "words": np.array(list("abcd"), object),
    }  # fmt: skip
    outputs = "int64[k,3] kept, int64[n,h,w] best, string[n,h,w] said, float[n,4,h,w] c"
    model = branches(body, outputs, **constants)
    assert set(quantize(model).report.snr_db) == {"c"}


def test_network_that_takes_one_size_and_does_not_say_which() -> None:
    for norms, size in ((bn("c1", "n1"), 128), ("[n1] n1 = Identity(c1) ", 320)):
        body = "[c1] c1 = Conv(x, w1) " + norms + "[f] f = Flatten(n1) [o] y = Gemm(f, wg)"
        constants = {"w1": (4, 3, 1, 1), "wg": (4 * 7 * 9, 5)}  # no square, and no usual size
        model = build(body, inputs="float[N,3,H,W] x", **constants, **norm("n1", 4))
        with pytest.raises(
            ModelError, match=rf"the float network: .* input was 'x' \[\d+, 3, {size},"
        ):
            quantize(model)


def test_subgraphs_do_not_change_the_plan_from_one_run_to_the_next() -> None:
    """Their nodes have no names, so nothing else tells one reading from another."""
    body = BRANCHES + (
        "[r] s = ReduceSum<keepdims=0>(c) [k] k = Cast<to=9>(s) [i] y = If(k) <"
        "then_branch = yes () => (float[n,4,h,w] a) { a = Relu(c) }, "
        "else_branch = no () => (float[n,4,h,w] b) { b = Neg(c) }>"
    )
    model = branches(body, "float[n,4,h,w] y")
    made = plan(model)
    assert apply(model, made).model == quantize(model).model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    node = next(node for node in changed.graph.node if node.op_type == "If")
    next(a for a in node.attribute if a.name == "else_branch").g.node[0].op_type = "Abs"
    assert plan(changed).model_hash != made.model_hash


def test_constant_that_numpy_has_no_type_for() -> None:
    model = branches(BRANCHES + "[h] h = Cast<to=1>(half) [a] y = Add(c, h)", "float[n,4,h,w] y")
    half = onnx.helper.make_tensor("half", onnx.TensorProto.BFLOAT16, [1, 4, 1, 1], [1, 2, 3, 4])
    model.graph.initializer.append(half)
    assert quantize(model).report.snr_db["y"] > 20


def test_constants_that_cannot_be_computed_are_left_to_the_runtime() -> None:
    body = BRANCHES + "[k] k = Reshape(seven, shape) [a] y = Add(c, k)"
    constants = {"seven": floats(*range(7)), "shape": whole(1, 4, 1, 1)}
    with pytest.raises(ModelError, match="ONNX Runtime cannot"):
        quantize(branches(body, "float[n,4,h,w] y", **constants))


BRANCHES = "[c1] c1 = Conv(x, w1) " + bn("c1", "n1") + "[q] q = Relu(n1) [c] c = Conv(q, w2) "


def branches(body: str, outputs: str, **constants: np.ndarray) -> onnx.ModelProto:
    shapes = {"w1": (8, 3, 3, 3), "w2": (4, 8, 1, 1)}
    inputs = "float[1,3,16,16] x"
    return build(body, inputs=inputs, outputs=outputs, **shapes, **constants, **norm("n1", 8))


def test_the_float_model_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_path().read_bytes())
    result = spiq.quantize(path)
    with pytest.raises(spiq.SpiqError, match=r"model\.onnx"):
        result.save(path)
    assert path.read_bytes() == model_path().read_bytes()
    result.save(path, force=True)
    assert path.read_bytes() == result.model


def test_behind_an_operator_without_a_rule_tensors_are_observed() -> None:
    model = plain(body=STEM + "[odd] s = Asinh(r) " + TAIL.replace("(r,", "(s,"))
    report = good(model, layers=2).report
    assert any("observed on synthetic images" in note for note in report.notes)
    assert not report.float_layers
