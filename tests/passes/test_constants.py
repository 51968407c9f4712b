"""What depends on constants alone is computed, and nothing that a file merely states."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import spiq
from small_networks import bn, build, floats, images_for, norm, optimized, run, trained, whole
from spiq import quantize
from spiq.io.read import read
from spiq.passes.constants import fold_constants, resolve_shapes
from spiq.passes.prepare import prepare
from spiq.runtime.snr import snr_db

NORMALIZED = (
    "[i] v = Identity(w2) [l] l = ReduceL2<axes=[1,2,3],keepdims=1>(v) [d] d = Div(v, l) "
    "[m] k = Mul(d, gain) "
)
STANDARDIZED = (
    "[i] v = Identity(w2) [mean] mean = ReduceMean<axes=[1,2,3]>(v) [s] s = Sub(v, mean) "
    "[q] q = Mul(s, s) [var] var = ReduceMean<axes=[1,2,3]>(q) [a] a = Add(var, least) "
    "[r] r = Sqrt(a) [d] k = Div(s, r) "
)
PADDED = "[p] p = Pad(small, pads) [a] k = Add(w2, p) "
MULTIPLIED = "[t] t = MatMul(w2, mix) [z] z = ConstantOfShape(shape) [u] u = CastLike(z, t) "
MULTIPLIED += "[e] k = Add(t, u) "
CAST_LIKE_DATA = "[i] v = Identity(w2) [u] k = CastLike(v, x) "
OF_THE_BATCH = (
    "[v] v = Reshape(w2, row) [m] m = ReduceMean<axes=[0,2],keepdims=0>(v) [s] s = Mul(v, v) "
    "[q] q = ReduceMean<axes=[0,2],keepdims=0>(s) "
    "[n] n, m2, q2 = BatchNormalization<training_mode=1>(v, ones, zeros, m, q) "
    "[k] k = Reshape(n, shape) "
)


@pytest.mark.parametrize("weight", [NORMALIZED, STANDARDIZED, PADDED, MULTIPLIED, CAST_LIKE_DATA])
def test_weight_computed_from_constants_is_a_weight(weight: str) -> None:
    body = (
        weight + "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r1] r1 = Relu(n1) "
        "[c2] y = Conv<pads=[1,1,1,1]>(r1, k)"
    )
    model = build(
        body, w1=(8, 3, 3, 3), w2=(8, 8, 3, 3), small=(8, 8, 1, 1), mix=(3, 3),
        gain=np.full((8, 1, 1, 1), 1.4, np.float32), least=floats(1e-5),
        pads=whole(0, 0, 1, 1, 0, 0, 1, 1), shape=whole(8, 8, 3, 3), **norm("n1", 8),
    )  # fmt: skip
    model = trained(model)
    result = quantize(model)
    assert len(result.report.layers) == result.report.quantized_layers == 2
    assert optimized(result.model)["QLinearConv"] == 2
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


def test_weight_standardized_by_a_normalization_in_training_mode_is_a_weight() -> None:
    ones, zeros = np.ones(8, np.float32), np.zeros(8, np.float32)
    model = build(
        OF_THE_BATCH + "[c] y = Conv(x, k)",
        w2=(8, 3, 3, 3), row=whole(1, 8, -1), ones=ones, zeros=zeros, shape=whole(8, 3, 3, 3),
    )  # fmt: skip
    result = quantize(model)
    assert result.report.quantized_layers == 1
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


def test_weight_that_is_an_activation_is_listed() -> None:
    body = "[a] a = Conv(x, w) [f] f = Flatten(a) [t] t = Transpose<perm=[1,0]>(f) "
    model = build(body + "[p] y = MatMul(f, t)", inputs="float[2,3,4,4] x", w=(4, 3, 1, 1))
    report = quantize(model).report
    assert [layer.name for layer in report.layers] == ["a", "p"]
    assert [layer.reason for layer in report.layers] == ["", ""]
    assert report.quantized_layers == 2 and report.layers[1].out_channels == 2


def stated(model: onnx.ModelProto, name: str, *sizes: int | str) -> onnx.ModelProto:
    """State a shape of a tensor, true or not."""
    model.graph.value_info.append(onnx.helper.make_tensor_value_info(name, 1, sizes))
    return model


@pytest.mark.parametrize("sizes", [(3, 1, 10), (1, 3, 10), (5, 6, 1)])
def test_shape_that_is_stated_wrongly_is_not_believed(sizes: tuple[int, ...]) -> None:
    """The Reshape's target depends on numbers: only the runtime knows it."""
    body = (
        "[c] c = Conv(x, w) [g] g = GlobalAveragePool(c) [m] m = ReduceMax<keepdims=0>(g) "
        "[z] zero = Mul(m, nought) [k] k = Cast<to=7>(zero) [s] s = Add(k, target) "
        "[r] r = Reshape(g, s) [y] y = Neg(r)"
    )
    model = build(
        body, inputs="float[1,3,8,8] x", w=(30, 3, 1, 1), nought=floats(0), target=whole(1, 30)
    )
    result = quantize(stated(model, "r", *sizes))
    feed = images_for(model)
    assert run(result.model, feed)["y"].shape == run(model, feed)["y"].shape == (1, 30)


def test_two_unknown_sizes_are_not_taken_for_one_batch() -> None:
    body = (
        "[c] c = Conv(x, w) [z] z = NonZero(c) [t] t = Transpose<perm=[1,0]>(z) "
        "[f] f = Cast<to=1>(t) [s] s = Shape(f) [r] r = Cast<to=1>(s) [d] d = Mul(r, factors) "
        "[k] k = Cast<to=7>(d) [o] y = Reshape(f, k)"
    )
    model = build(
        body, inputs="float[1,3,4,4] x", outputs="float[n,2] y, c", w=(2, 3, 1, 1),
        factors=floats(2, 0.5),
    )  # fmt: skip
    network = read(model)
    resolve_shapes(network)
    reshape = next(node for node in network.graph if node.op_type == "Reshape")
    target = reshape.inputs[1]
    assert target is not None and not target.is_initializer()


def test_stated_sizes_come_back_where_nothing_else_tells() -> None:
    body = "[c] c = Conv(x, w) [d] d = Conv(c, v) [n] y = Neg(d)"
    model = build(body, inputs="float[N,3,H,W] x", w=(4, 3, 1, 1), v=(4, 4, 1, 1))
    network = read(stated(model, "c", "N", 4, 12, 12))
    value = network.graph[0].outputs[0]
    assert value.shape is not None and value.shape[1] == 4 and value.shape[2] != 12
    graph = prepare(network).model.graph
    shape = graph[0].outputs[0].shape
    assert shape is not None and list(shape)[2:] == [12, 12]


def test_constants_do_not_grow_without_bound() -> None:
    """Fifteen doublings of 2,048 numbers would be 268 MB."""
    body = "[c] c = Conv(x, w) " + "".join(
        f"[d{i}] d{i + 1} = Concat<axis=0>(d{i}, d{i}) " for i in range(15)
    )
    model = build(
        body + "[s] s = ReduceSum(d15) [y] y = Add(c, s)", inputs="float[1,3,4,4] x",
        w=(2, 3, 1, 1), d0=np.ones((2048, 1), np.float32),
    )  # fmt: skip
    network = read(model)
    fold_constants(network)
    sizes = [value.const_value.size for value in network.graph.initializers.values()]  # type: ignore[union-attr]
    assert max(sizes) <= 1 << 24


def test_a_network_of_positions_is_computed() -> None:
    """Swin v2 has biases for its attention from a small network that reads nothing of the input."""
    body = "m = MatMul(table, w1) r = Relu(m) b = MatMul(r, w2) y = Add(x, b)"
    model = build(body, inputs="float[225,3] x", table=(225, 2), w1=(2, 512), w2=(512, 3))
    changed = read(model)
    resolve_shapes(changed)
    assert [node.op_type for node in changed.graph] == ["Add"]


@pytest.mark.parametrize("operator", ["RandomNormalLike", "RandomUniformLike", "Bernoulli"])
def test_chance_is_not_computed(operator: str) -> None:
    body = f"[c] c = Conv(x, w) [e] e = {operator}(half) [y] y = Mul(c, e)"
    network = read(build(body, w=(2, 3, 1, 1), half=np.full((1, 2, 1, 1), 0.5, np.float32)))
    assert fold_constants(network) == 0
    assert isinstance(network, ir.Model)


def test_weights_that_are_stored_as_integers_are_floats_again() -> None:
    """Half precision and int8 of weights alone keep files small; nothing runs on integers there."""
    rng = np.random.default_rng(0)
    body = (
        "[d] v = DequantizeLinear<axis=0>(v8, s, z) [c] c = Conv<pads=[1,1,1,1]>(x, v) "
        "[h] w = Cast<to=1>(w16) [y] y = Conv(c, w)"
    )
    model = build(
        body, v8=rng.integers(-127, 127, (4, 3, 3, 3)).astype(np.int8),
        s=np.full(4, 0.01, np.float32), z=np.zeros(4, np.int8),
        w16=rng.normal(size=(4, 4, 1, 1)).astype(np.float16),
    )  # fmt: skip
    result = spiq.quantize(model, spiq.Config(timing=False, input_range=((0, 1),)))
    assert not result.report.float_layers
    x = rng.random((1, 3, 16, 16)).astype(np.float32)
    y, q = run(model, {"x": x})["y"], result.run({"x": x})["y"]
    assert 10 * np.log10(np.var(y) / np.square(y - q).mean()) > 30


@pytest.mark.parametrize("kind", ["one scale", "a scale each", "blocks"])
def test_integers_are_made_floats_as_the_runtime_does(kind: str) -> None:
    rng = np.random.default_rng(1)
    shape = {"one scale": (), "a scale each": (8,), "blocks": (2, 8)}[kind]
    options = "axis=0, block_size=3" if kind == "blocks" else "axis=1"
    model = build(
        f"[d] v = DequantizeLinear<{options}>(v8, s, z) [y] y = Add(x, v)",
        inputs="float[6,8] x", opset=21, v8=rng.integers(0, 255, (6, 8)).astype(np.uint8),
        s=rng.uniform(0.1, 1, shape).astype(np.float32),
        z=rng.integers(0, 255, shape).astype(np.uint8),
    )  # fmt: skip
    x = rng.normal(size=(6, 8)).astype(np.float32)
    network = read(model)
    wanted = run(model, {"x": x})["y"]
    assert fold_constants(network) == 1
    np.testing.assert_allclose(run(ir.to_proto(network), {"x": x})["y"], wanted, rtol=1e-5)
