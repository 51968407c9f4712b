"""Preparation changes the spelling of a network and nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

import zoo
from spiq.errors import UnsupportedError
from spiq.graph.query import dims
from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare
from spiq.runtime.session import session

IMAGE = "float[2,4,6,6] x"
MAP = "float[2,8,1,1] x"
ROW = "float[2,8] x"


def weights(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.1, 0.4, shape).astype(np.float32)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


W33, B6, W11, HEAD = weights(6, 4, 3, 3), weights(6), weights(5, 6, 1, 1), weights(5, 8, 1, 1)
CONV = "c = Conv<pads=[1,1,1,1]>(x, w, b)"
NORM = "BatchNormalization"


def norm(channels: int) -> dict[str, Any]:
    """Parameters g, o, m, v of a BatchNormalization; one channel has gamma 0."""
    g = weights(channels, seed=11)
    g[1] = 0
    found = {"g": g, "o": weights(channels, seed=12), "m": weights(channels, seed=13)}
    found["v"] = np.abs(weights(channels, seed=14)) + np.float32(0.1)
    return found


def text(
    body: str,
    given: str = IMAGE,
    *,
    outputs: str = "y",
    opset: int = 20,
    **constants: np.ndarray,
) -> onnx.ModelProto:
    model = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": {opset}]> net ({given}) => ({outputs}) {{ {body} }}'
    )
    for name, array in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def run(proto: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    runtime = session(proto.SerializeToString(), threads=1, optimize=False)
    names = [value.name for value in runtime.get_outputs()]
    return dict(zip(names, runtime.run(names, dict(feed)), strict=True))


Signature = list[tuple[str, str, list[int | str | None]]]


def signature(proto: onnx.ModelProto) -> Signature:
    runtime = session(proto.SerializeToString(), threads=1, optimize=False)
    values = [*runtime.get_inputs(), *runtime.get_outputs()]
    return [(value.name, value.type, value.shape) for value in values]


def same_signature(after: Signature, before: Signature) -> None:
    """Names, types and every size that was declared are the same."""
    assert [value[:2] for value in after] == [value[:2] for value in before]
    for (name, _, found), (_, _, declared) in zip(after, before, strict=True):
        pairs = zip(found, declared, strict=True)
        assert all(new == old for new, old in pairs if old is not None), name


def random_feed(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    feed = {}
    for value in session(proto.SerializeToString(), threads=1).get_inputs():
        shape = [size if isinstance(size, int) and size > 0 else 2 for size in value.shape]
        feed[value.name] = rng.normal(size=shape).astype(np.float32)
    return feed


def prepared(proto: onnx.ModelProto) -> Prepared:
    """Prepare a network and check that its function and its signature stay as they are."""
    result = prepare(read(proto))
    after = ir.serde.serialize_model(result.model)
    onnx.checker.check_model(after, full_check=True)
    same_signature(signature(after), signature(proto))
    feed = random_feed(proto)
    expected, found = run(proto, feed), run(after, feed)
    for name, array in expected.items():
        scale = float(np.abs(array).max()) or 1.0
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6 * scale)
    names = [node.name for node in result.model.graph]
    assert len(set(names)) == len(names)
    return result


def operators(result: Prepared) -> list[str]:
    return [node.op_type for node in result.model.graph]


def only(result: Prepared, operator: str) -> ir.Node:
    found = [node for node in result.model.graph if node.op_type == operator]
    assert len(found) == 1
    return found[0]


# Affine steps


@pytest.mark.parametrize(
    ("body", "given", "constants", "after"),
    [
        (CONV, IMAGE, {"w": W33, "b": B6}, "Conv"),
        ("c = Conv(x, w)", IMAGE, {"w": W33}, "Conv"),
        ("c = Conv<group=2>(x, w)", IMAGE, {"w": weights(6, 2, 3, 3)}, "Conv"),
        ("c = Conv(x, w)", "float[2,4,9] x", {"w": weights(6, 4, 3)}, "Conv"),
        (
            "c = ConvTranspose<strides=[2,2]>(x, w, b)",
            IMAGE,
            {"w": weights(4, 6, 3, 3), "b": B6},
            "ConvTranspose",
        ),
        (
            "c = ConvTranspose<strides=[2,2], group=2>(x, w)",
            IMAGE,
            {"w": weights(4, 3, 2, 2)},
            "ConvTranspose",
        ),
        ("c = Gemm<transB=1>(x, w, b)", ROW, {"w": weights(6, 8), "b": B6}, "Gemm"),
        ("c = Gemm<alpha=0.5, beta=2.0>(x, w, b)", ROW, {"w": weights(8, 6), "b": B6}, "Gemm"),
        ("d = MatMul(x, w) c = Add(d, b)", ROW, {"w": weights(8, 6), "b": B6}, "Gemm"),
    ],
)
def test_a_normalization_folds_into_the_layer_before_it(
    body: str, given: str, constants: dict[str, Any], after: str
) -> None:
    parameters = norm(6)
    proto = text(f"{body} n = {NORM}(c, g, o, m, v) y = Relu(n)", given, **constants, **parameters)
    result = prepared(proto)
    assert operators(result) == [after, "Relu"]
    stated = result.stated[only(result, after).outputs[0].name or ""]
    np.testing.assert_allclose(stated.mean, parameters["o"])
    var = parameters["v"].astype(np.float64)
    np.testing.assert_allclose(stated.var, parameters["g"] ** 2 * var / (var + 1e-5), rtol=1e-6)


def test_a_folded_normalization_may_be_the_output() -> None:
    proto = text(f"{CONV} y = {NORM}(c, g, o, m, v)", w=W33, b=B6, **norm(6))
    result = prepared(proto)
    assert operators(result) == ["Conv"]
    assert list(result.stated) == ["y"]


def test_a_convolution_that_is_an_output_keeps_its_normalization() -> None:
    parameters = norm(6)
    proto = text(f"{CONV} y = {NORM}(c, g, o, m, v)", outputs="c, y", w=W33, b=B6, **parameters)
    result = prepared(proto)
    assert operators(result) == ["Conv", NORM]
    np.testing.assert_allclose(result.stated["c"].mean, parameters["m"])
    np.testing.assert_allclose(result.stated["y"].mean, parameters["o"])


def test_a_convolution_that_others_read_keeps_its_normalization() -> None:
    proto = text(f"{CONV} n = {NORM}(c, g, o, m, v) y = Add(n, c)", w=W33, b=B6, **norm(6))
    assert operators(prepared(proto)) == ["Conv", NORM, "Add"]


@pytest.mark.parametrize("group", [1, 2])
def test_a_normalization_folds_into_the_unpadded_convolution_after_it(group: int) -> None:
    body = f"r = Relu(x) n = {NORM}(r, g, o, m, v) y = Conv<group={group}>(n, w, b)"
    parameters = norm(4)
    proto = text(body, w=weights(6, 4 // group, 3, 3), b=B6, **parameters)
    result = prepared(proto)
    assert operators(result) == ["Relu", "Conv"]
    stated = result.stated[only(result, "Relu").outputs[0].name or ""]
    np.testing.assert_allclose(stated.mean, parameters["m"])
    assert len(result.stated) == 1


@pytest.mark.parametrize(
    ("body", "layers"),
    [
        ("y = Gemm<transB=1>(n, w, b)", ["Gemm"]),
        ("y = Gemm<transB=1>(n, w)", ["Gemm"]),
        ("y = MatMul(n, wt)", ["Gemm"]),
        ("h = Gemm<transB=1>(n, w, b) i = MatMul(n, wt) y = Add(h, i)", ["Gemm", "Gemm", "Add"]),
    ],
)
def test_a_normalization_of_rows_folds_into_all_layers_behind_it(
    body: str, layers: list[str]
) -> None:
    weight, parameters = weights(6, 8), norm(8)
    full = f"r = Relu(x) n = {NORM}(r, g, o, m, v) {body}"
    result = prepared(text(full, ROW, w=weight, wt=weight.T, b=B6, **parameters))
    assert operators(result) == ["Relu", *layers]
    stated = result.stated[only(result, "Relu").outputs[0].name or ""]
    np.testing.assert_allclose(stated.mean, parameters["m"])


def test_a_normalization_of_rows_that_something_else_reads_stays() -> None:
    body = f"r = Relu(x) n = {NORM}(r, g, o, m, v) h = Gemm<transB=1>(n, w) y = Relu(n)"
    proto = text(body, ROW, outputs="h, y", w=weights(6, 8), **norm(8))
    assert operators(prepared(proto)) == ["Relu", NORM, "Gemm", "Relu"]


@pytest.mark.parametrize("conv", ["Conv<pads=[1,1,1,1]>", 'Conv<auto_pad="SAME_UPPER">'])
def test_a_normalization_before_a_padded_convolution_stays(conv: str) -> None:
    proto = text(f"r = Relu(x) n = {NORM}(r, g, o, m, v) y = {conv}(n, w)", w=W33, **norm(4))
    result = prepared(proto)
    assert operators(result) == ["Relu", NORM, "Conv"]
    assert set(result.stated) == {"r", "n"}


def test_a_normalization_of_the_input_folds_forward() -> None:
    parameters = norm(4)
    result = prepared(text(f"n = {NORM}(x, g, o, m, v) y = Conv(n, w)", w=W33, **parameters))
    assert operators(result) == ["Conv"]
    np.testing.assert_allclose(result.stated["x"].mean, parameters["m"])


def test_a_normalization_behind_a_concat_that_others_read_stays() -> None:
    proto = text(
        f"a = Conv(x, w) b = Conv(x, w) c = Concat<axis=1>(a, b) n = {NORM}(c, g, o, m, v) "
        "y = Add(n, c)",
        w=W33,
        **norm(12),
    )
    result = prepared(proto)
    assert operators(result) == ["Conv", "Conv", "Concat", NORM, "Add"]
    assert set(result.stated) == {"c", "n"}


def test_weights_that_another_layer_shares_are_left_alone() -> None:
    proto = text(
        f"{CONV} n = {NORM}(c, g, o, m, v) d = Conv<pads=[1,1,1,1]>(x, w, b) y = Add(n, d)",
        w=W33,
        b=B6,
        **norm(6),
    )
    result = prepared(proto)
    assert operators(result) == ["Conv", "Conv", "Add"]
    assert {"w", "b"} <= set(result.model.graph.initializers)


def test_names_that_a_fold_would_take_may_be_taken() -> None:
    proto = text(
        f"w_folded = Relu(x) w_bias = Conv(w_folded, w, b) n = {NORM}(w_bias, g, o, m, v) "
        "y = Relu(n)",
        w=W33,
        b=B6,
        **norm(6),
    )
    assert operators(prepared(proto)) == ["Relu", "Conv", "Relu"]


@pytest.mark.parametrize(
    ("step", "folds"),
    [
        ("y = Mul(c, k)", True),
        ("y = Mul(k, c)", True),
        ("y = Add(k, c)", True),
        ("y = Sub(c, k)", True),
        ("y = Sub(k, c)", True),
        ("y = Div(c, k)", True),
        ("y = Div(k, c)", False),
        ("y = Mul(c, one)", True),
        ("y = Add(c, map)", False),
        ("y = Mul(c, c)", False),
    ],
)
def test_constants_per_channel_fold_into_the_convolution(step: str, folds: bool) -> None:
    k = (np.abs(weights(6, 1, 1)) + 1).astype(np.float32)
    one, map_ = np.array([0.5], np.float32), weights(1, 1, 6, 6)
    constants = {"k": k, "one": one, "map": map_}
    used: dict[str, Any] = {name: array for name, array in constants.items() if name in step[7:]}
    result = prepared(text(f"{CONV} {step}", w=W33, b=B6, **used))
    assert operators(result) == (["Conv"] if folds else ["Conv", step.split()[2].split("(")[0]])


def test_constants_along_the_last_axis_do_not_fold() -> None:
    proto = text(f"{CONV} y = Mul(c, k)", "float[2,4,6,6] x", w=W33, b=B6, k=weights(6))
    assert operators(prepared(proto)) == ["Conv", "Mul"]


def test_moments_follow_a_constant_that_is_folded_after_the_normalization() -> None:
    k, shift = weights(6, 1, 1, seed=5), weights(6, 1, 1, seed=6)
    parameters = norm(6)
    proto = text(
        f"{CONV} n = {NORM}(c, g, o, m, v) p = Mul(n, k) q = Add(p, s) y = Relu(q)",
        w=W33,
        b=B6,
        k=k,
        s=shift,
        **parameters,
    )
    result = prepared(proto)
    assert operators(result) == ["Conv", "Relu"]
    stated = result.stated["q"]
    var = parameters["g"] ** 2 * parameters["v"] / (parameters["v"] + 1e-5)
    np.testing.assert_allclose(stated.mean, (parameters["o"] * k.ravel() + shift.ravel()), 1e-5)
    np.testing.assert_allclose(stated.var, var * k.ravel() ** 2, 1e-5)


def test_a_gemm_of_a_transposed_matrix_takes_the_step_behind_it() -> None:
    proto = text(
        "c = Gemm<transA=1, transB=1, beta=2.0>(x, w, b) y = Add(c, k)",
        "float[8,2] x",
        w=weights(6, 8),
        b=B6,
        k=weights(6, seed=2),
    )
    assert operators(prepared(proto)) == ["Transpose", "Gemm"]


# Dense layers


@pytest.mark.parametrize(
    ("body", "bias"),
    [
        ("y = Gemm(x, w)", None),
        ("y = Gemm(x, w, b)", weights(6)),
        ("y = Gemm(x, w, b)", weights(1, 6)),
        ("y = Gemm(x, w, b)", weights(1)),
        ("y = Gemm<alpha=0.5, beta=0.25>(x, w, b)", weights(6)),
        ("y = Gemm<alpha=2.0>(x, w)", None),
        ("d = MatMul(x, w) y = Add(d, b)", weights(6)),
        ("d = MatMul(x, w) y = Add(b, d)", weights(1, 6)),
        ("d = MatMul(x, w) y = Add(d, b)", weights(1)),
    ],
)
def test_dense_layers_have_one_form(body: str, bias: np.ndarray | None) -> None:
    constants: dict[str, Any] = {} if bias is None else {"b": bias}
    result = prepared(text(body, ROW, w=weights(8, 6), **constants))
    assert operators(result) == ["Gemm"]
    gemm = only(result, "Gemm")
    assert gemm.attributes.get_int("transB") == 1
    assert gemm.attributes.get_float("alpha", 1.0) == gemm.attributes.get_float("beta", 1.0) == 1
    shapes = [dims(value) for value in gemm.inputs[1:]]
    assert shapes == ([[6, 8]] if bias is None else [[6, 8], [6]])


@pytest.mark.parametrize(
    ("body", "given", "bias", "after"),
    [
        ("y = Gemm<transB=1>(x, w, b)", "float[6,6] x", weights(6, 1), ["Gemm", "Add"]),
        ("y = Gemm(x, w, b)", "float[6,6] x", weights(6, 1), ["Gemm", "Add"]),
        ("y = Gemm(x, w, b)", "float[2,6] x", weights(2, 6), ["Gemm", "Add"]),
        ("y = Gemm<transA=1>(x, w, b)", "float[6,2] x", weights(6), ["Transpose", "Gemm"]),
        ("d = MatMul(x, w) y = Add(d, b)", "float[6,6] x", weights(6, 1), ["Gemm", "Add"]),
    ],
)
def test_dense_layers_that_have_no_bias_per_output(
    body: str, given: str, bias: np.ndarray, after: list[str]
) -> None:
    assert operators(prepared(text(body, given, w=weights(6, 6), b=bias))) == after


@pytest.mark.parametrize(
    ("attributes", "after"),
    [
        ("alpha=2.0", ["Relu", "Gemm", "Add"]),
        ("transB=1, alpha=0.5, beta=3.0", ["Relu", "Gemm", "Mul", "Add"]),
        ("transB=1, beta=0.0", ["Relu", "Gemm", "Mul", "Add"]),
    ],
)
@pytest.mark.parametrize("shape", ["6", "1,6", "2,1", "1"])
def test_a_bias_that_is_computed_is_added_behind(
    attributes: str, after: list[str], shape: str
) -> None:
    body = f"b = Relu(z) y = Gemm<{attributes}>(x, w, b)"
    weight = weights(6, 8) if "transB" in attributes else weights(8, 6)
    proto = text(body, f"float[2,8] x, float[{shape}] z", w=weight)
    assert operators(prepared(proto)) == after


# Pools and heads


@pytest.mark.parametrize(
    ("pool", "opset", "flat"),
    [
        ("ReduceMean<keepdims=1>(x, a)", 18, False),
        ("ReduceMean<keepdims=0>(x, a)", 18, True),
        ("ReduceMean<axes=[2,3], keepdims=1>(x)", 17, False),
        ("ReduceMean<axes=[-1,-2], keepdims=0>(x)", 17, True),
        ("AveragePool<kernel_shape=[6,6]>(x)", 17, False),
        ("AveragePool<kernel_shape=[6,6], strides=[6,6]>(x)", 17, False),
    ],
)
@pytest.mark.parametrize("is_output", [False, True])
def test_means_over_all_of_space_are_one_operator(
    pool: str, opset: int, flat: bool, is_output: bool
) -> None:
    body = f"k = Conv<pads=[1,1,1,1]>(x, w) p = {pool.replace('(x', '(k')} y = Relu(p)"
    body = body.replace("p = ", "y = ").replace("y = Relu(p)", "") if is_output else body
    axes: dict[str, Any] = {"a": whole(-2, 3)} if "a)" in pool else {}
    result = prepared(text(body, opset=opset, w=W33, **axes))
    pooled = ["Conv", "GlobalAveragePool", *(["Flatten"] if flat else [])]
    assert operators(result) == [*pooled, *([] if is_output else ["Relu"])]


@pytest.mark.parametrize(
    "pool",
    [
        "ReduceMean<axes=[1], keepdims=1>(k)",
        "ReduceMean<axes=[2], keepdims=1>(k)",
        "ReduceMean(k)",
        "AveragePool<kernel_shape=[3,3]>(k)",
        "AveragePool<kernel_shape=[6,6], pads=[1,1,1,1]>(k)",
        'AveragePool<kernel_shape=[6,6], auto_pad="SAME_UPPER">(k)',
    ],
)
def test_other_means_stay(pool: str) -> None:
    proto = text(f"k = Conv<pads=[1,1,1,1]>(x, w) y = {pool}", opset=17, w=W33)
    assert operators(prepared(proto)) == ["Conv", pool.split("<")[0].split("(")[0]]


@pytest.mark.parametrize(
    "flatten",
    ["Flatten(c)", "Reshape(c, s)", "Squeeze(c, a)"],
    ids=["Flatten", "Reshape", "Squeeze"],
)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("is_output", [False, True], ids=["inner", "output"])
def test_a_convolution_of_one_pixel_is_a_dense_layer(
    flatten: str, bias: bool, is_output: bool
) -> None:
    end = f"y = {flatten}" if is_output else f"f = {flatten} y = Relu(f)"
    body = f"p = GlobalAveragePool(x) c = Conv(p, w{', b' * bias}) {end}"
    constants: dict[str, Any] = {"s": whole(0, -1)} if "s)" in flatten else {}
    constants |= {"a": whole(2, 3)} if "a)" in flatten else {}
    constants |= {"b": weights(5)} if bias else {}
    result = prepared(text(body, "float[2,8,6,6] x", w=HEAD, **constants))
    head = ["GlobalAveragePool", "Flatten", "Gemm"]
    assert operators(result) == (head if is_output else [*head, "Relu"])


def test_two_heads_of_one_pool_are_two_dense_layers() -> None:
    body = "p = GlobalAveragePool(x) c = Conv(p, w) d = Conv(p, w) y = Flatten(c) z = Flatten(d)"
    result = prepared(text(body, "float[2,8,6,6] x", outputs="y, z", w=HEAD))
    assert operators(result).count("Gemm") == 2


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("c = Conv(x, w) y = Flatten(c)", "c, y"),
        ("c = Conv<group=2>(x, h) y = Flatten(c)", "y"),
        ("c = Conv<pads=[1,1,1,1]>(x, w) y = Flatten(c)", "y"),
        ("c = Conv(x, w) y = Flatten<axis=2>(c)", "y"),
        ("c = Conv(x, w) y = Reshape(c, s)", "y"),
        ("c = Conv(x, w) y = Reshape(c, t)", "y"),
    ],
)
def test_other_convolutions_of_one_pixel_stay(body: str, outputs: str) -> None:
    proto = text(
        body, MAP, outputs=outputs, w=HEAD, h=weights(6, 4, 1, 1), s=whole(5, 2), t=whole(1, -1)
    )
    assert operators(prepared(proto))[0] == "Conv"


# Padding


@pytest.mark.parametrize(
    "conv", ["Conv", "Conv<pads=[1,0,0,1]>", "Conv<strides=[2,2]>", 'Conv<auto_pad="VALID">']
)
def test_padding_of_space_moves_into_the_convolution(conv: str) -> None:
    result = prepared(
        text(f"p = Pad(x, n) y = {conv}(p, w)", n=whole(0, 0, 1, 2, 0, 0, 0, 1), w=W33)
    )
    assert operators(result) == ["Conv"]
    before = [1, 0, 0, 1] if "pads" in conv else [0] * 4
    added = [a + b for a, b in zip(before, [1, 2, 0, 1], strict=True)]
    assert list(only(result, "Conv").attributes.get_ints("pads") or ()) == added


def test_padding_moves_into_every_convolution_that_reads_it() -> None:
    body = "p = Pad(x, n) a = Conv(p, w) b = Conv<pads=[0,0,0,0]>(p, w) y = Add(a, b)"
    result = prepared(text(body, n=whole(0, 0, 1, 1, 0, 0, 1, 1), w=W33))
    assert operators(result) == ["Conv", "Conv", "Add"]


@pytest.mark.parametrize(
    ("body", "outputs", "pads"),
    [
        ("p = Pad(x, n) y = Conv(p, w) z = Relu(p)", "y, z", (0, 0, 1, 1, 0, 0, 1, 1)),
        ("p = Pad(x, n) y = Conv(p, w)", "p, y", (0, 0, 1, 1, 0, 0, 1, 1)),
        ('p = Pad<mode="edge">(x, n) y = Conv(p, w)', "y", (0, 0, 1, 1, 0, 0, 1, 1)),
        ("p = Pad(x, n, f) y = Conv(p, w)", "y", (0, 0, 1, 1, 0, 0, 1, 1)),
        ("p = Pad(x, n) y = Conv(p, w)", "y", (0, 0, -1, 0, 0, 0, 0, 0)),
        ("p = Pad(x, n) y = Conv(p, w)", "y", (0, 1, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_other_padding_stays(body: str, outputs: str, pads: tuple[int, ...]) -> None:
    weight = weights(6, 4 + pads[1] * (len(pads) == 8), 3, 3)
    proto = text(
        body,
        outputs=outputs,
        n=whole(*pads),
        w=weight,
        f=np.array(0.5, np.float32),
    )
    assert operators(prepared(proto))[:2] == ["Pad", "Conv"]


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(
    ("layer", "more"),
    [("Conv", ""), ("MaxPool", ", kernel_shape=[3,2]"), ("AveragePool", ", kernel_shape=[3,2]")],
)
@pytest.mark.parametrize("strides", [[1, 1], [3, 2]])
def test_padding_modes_become_numbers(mode: str, layer: str, more: str, strides: list[int]) -> None:
    attributes = f'auto_pad="{mode}", strides={strides}{more}'
    data = "k, w" if layer == "Conv" else "k"
    body = f"k = Conv(x, one) y = {layer}<{attributes}>({data})"
    proto = text(body, one=weights(4, 4, 1, 1), w=weights(6, 4, 3, 2))
    result = prepared(proto)
    assert operators(result) == ["Conv", layer]
    last = list(result.model.graph)[-1]
    assert "auto_pad" not in last.attributes
    assert len(last.attributes.get_ints("pads") or ()) == 4


def test_padding_modes_of_maps_of_any_size_stay() -> None:
    body = 'y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)'
    result = prepared(text(body, "float[N,4,H,W] x", w=W33))
    assert only(result, "Conv").attributes.get_string("auto_pad") == "SAME_UPPER"


# What computes nothing


@pytest.mark.parametrize(
    "step",
    ["Identity(c)", "Dropout(c)", "Dropout(c, ratio)", "Cast<to=1>(c)", "Pad(c, none)"],
)
@pytest.mark.parametrize("is_output", [False, True], ids=["inner", "output"])
def test_steps_that_do_nothing_are_dropped(step: str, is_output: bool) -> None:
    body = f"{CONV} y = {step}" if is_output else f"{CONV} i = {step} y = Relu(i)"
    constants: dict[str, Any] = {"ratio": np.array(0.3, np.float32), "none": whole(*[0] * 8)}
    result = prepared(text(body, w=W33, b=B6, **constants))
    assert operators(result) == (["Conv"] if is_output else ["Conv", "Relu"])


def test_a_mask_that_is_an_output_keeps_its_dropout() -> None:
    proto = text(f"{CONV} d, mask = Dropout(c) y = Relu(d)", outputs="y, mask", w=W33, b=B6)
    assert operators(prepared(proto)) == ["Conv", "Dropout", "Relu"]


def test_an_output_that_is_an_input_stays() -> None:
    proto = text(f"{CONV} y = Relu(c) z = Identity(x)", outputs="y, z", w=W33, b=B6)
    assert sorted(operators(prepared(proto))) == ["Conv", "Identity", "Relu"]


def test_two_outputs_of_one_value_stay_two() -> None:
    proto = text(f"{CONV} y = Identity(c) z = Identity(c)", outputs="y, z", w=W33, b=B6)
    assert operators(prepared(proto)) == ["Conv", "Identity"]


def test_a_value_that_is_read_and_an_output_keeps_its_name() -> None:
    proto = text(f"{CONV} y = Identity(c) z = Relu(y)", outputs="y, z", w=W33, b=B6)
    assert operators(prepared(proto)) == ["Conv", "Relu"]


def test_sub_expressions_of_constants_are_computed() -> None:
    body = f"{CONV} t = Neg(slope) s = Unsqueeze(t, a) y = PRelu(c, s)"
    result = prepared(text(body, w=W33, b=B6, slope=weights(6), a=whole(1, 2)))
    assert operators(result) == ["Conv", "PRelu"]
    assert dims(only(result, "PRelu").inputs[1]) == [6, 1, 1]


def test_arithmetic_on_a_known_shape_is_computed() -> None:
    body = (
        f"{CONV} h = Shape<start=2>(c) one = Gather(h, zero) half = Div(one, two) "
        "f = Unsqueeze(half, zero1) s = Concat<axis=0>(lead, f, rest) y = Reshape(c, s)"
    )
    proto = text(
        body,
        w=W33,
        b=B6,
        zero=np.array(0, np.int64),
        two=np.array(2, np.int64),
        zero1=whole(0),
        lead=whole(2, 6),
        rest=whole(2, 6),
    )
    assert operators(prepared(proto)) == ["Conv", "Reshape"]


def test_a_computed_batch_size_becomes_a_kept_one() -> None:
    body = f"{CONV} h = Shape<start=0, end=1>(c) s = Concat<axis=0>(h, rest) y = Reshape(c, s)"
    proto = text(body, "float[N,4,6,6] x", w=W33, b=B6, rest=whole(-1))
    assert operators(prepared(proto)) == ["Conv", "Reshape"]


def test_arithmetic_on_several_sizes_of_any_size_stays() -> None:
    body = f"{CONV} h = Shape<start=2>(c) s = Concat<axis=0>(lead, h) y = Reshape(c, s)"
    proto = text(body, "float[N,4,H,W] x", w=W33, b=B6, lead=whole(-1, 6))
    assert operators(prepared(proto)) == ["Conv", "Shape", "Concat", "Reshape"]


def test_a_node_without_inputs_is_left_alone() -> None:
    body = f"{CONV} r = RandomNormal<shape=[1], scale=1e-30>() y = Add(c, r)"
    assert "RandomNormal" in operators(prepared(text(body, w=W33, b=B6)))


# The whole


def test_nodes_get_names_of_their_own() -> None:
    proto = text("[a] c = Conv(x, w) [a] d = Relu(c) y = Neg(d)", w=W33)
    names = [node.name for node in prepare(read(proto)).model.graph]
    assert names == ["a", "a_1", "y"]


def test_preparing_twice_changes_nothing() -> None:
    body = (
        f"p = Pad(x, n) c = Conv(p, w) e = {NORM}(c, g, o, m, v) r = Relu(e) "
        "q = ReduceMean<axes=[2,3], keepdims=0>(r) d = MatMul(q, h) y = Add(d, t)"
    )
    proto = text(
        body,
        opset=17,
        n=whole(0, 0, 1, 1, 0, 0, 1, 1),
        w=W33,
        h=weights(6, 3),
        t=weights(3),
        **norm(6),
    )
    first = prepared(proto)
    once = ir.serde.serialize_model(first.model)
    second = prepare(read(once))
    assert operators(second) == operators(first)
    assert operators(first) == ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="nothing to quantize"):
        prepare(read(text("y = Relu(x)")))


@pytest.mark.zoo
@pytest.mark.parametrize("path", zoo.models(), ids=lambda p: p.parent.name if p else "none")
def test_networks_of_the_zoo_stay_what_they_are(path: Path | None) -> None:
    path = path or zoo.folder()
    proto = onnx.load(path)
    model = read(path)
    result = prepare(model)
    after = ir.serde.serialize_model(result.model)
    same_signature(signature(after), signature(proto))
    feed = random_feed(proto)
    expected, found = run(proto, feed), run(after, feed)
    for name, array in expected.items():
        scale = float(np.abs(array).max()) or 1.0
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-4 * scale)
