"""Every way in which a graph can be broken or unfit."""

import logging

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from onnx_text import SHUFFLED, WEIGHT, constant, network, operators, refused, serialized, text

from spiq.errors import ModelError, UnsupportedError
from spiq.io.read import read

# Structure


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("[first] y = Add(x, nowhere)", ("Add 'first'", "'nowhere'", "nothing produces")),
        ("y = Add(x, nowhere)", ("Add that writes 'y'", "'nowhere'")),
        ("z = Relu(x)", ("graph output 'y'", "nothing produces")),
        ("a = Relu(x) a = Neg(x) y = Abs(a)", ("'a'", "more than once")),
        ("x = Relu(x) y = Abs(x)", ("'x'", "more than once")),
        ("[one] a = Add(x, b) [two] b = Relu(a) y = Abs(b)", ("needs its own output",)),
        ("[one] a = Add(x, a) y = Abs(a)", ("Add 'one' needs its own output",)),
        (
            "c = Cast <to=9> (x) y = If (c) "
            "<then_branch = t () => (float z) { [in] z = Relu(nowhere) }, "
            "else_branch = e () => (float z) { z = Relu(x) }>",
            ("Relu 'in'", "'nowhere'"),
        ),
    ],
    ids=["edge", "nameless", "output", "twice", "input twice", "cycle", "self", "subgraph"],
)
def test_broken_graph(body: str, words: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        refused(text(body), ModelError, *words)
    assert not caplog.records


def test_broken_graph_in_memory() -> None:
    graph = read(text(SHUFFLED))
    graph.graph[0].replace_input_with(0, ir.Value(name="nowhere"))
    refused(graph, ModelError, "Neg", "'nowhere'")


def test_two_weights_of_one_name() -> None:
    model = network()
    model.graph.initializer.append(model.graph.initializer[0])
    refused(model, ModelError, "'weight'", "more than once")


def test_weight_without_values() -> None:
    graph = read(network())
    graph.graph.initializers["weight"].const_value = None
    refused(graph, ModelError, "'weight'", "no values")


def test_sparse_weight() -> None:
    model = network()
    values = onnx.helper.make_tensor("sparse", onnx.TensorProto.FLOAT, [1], [1.0])
    indices = onnx.helper.make_tensor("at", onnx.TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(
        onnx.helper.make_sparse_tensor(values, indices, [16]),
    )
    refused(model, UnsupportedError, "'sparse'", "dense")


def test_graph_is_sorted() -> None:
    assert operators(read(text(SHUFFLED))) == ["Neg", "Relu", "Abs"]


def test_given_graph_stays_as_it_is() -> None:
    given = ir.serde.deserialize_model(
        text("k = Constant <value_float=2.0> () b = Mul(a, k) a = Relu(x) y = Abs(b)")
    )
    before = serialized(given)
    graph = read(given)
    graph.graph.outputs[0].name = "other"
    assert operators(graph) == ["Relu", "Mul", "Abs"]
    assert operators(given) == ["Constant", "Mul", "Relu", "Abs"]
    assert serialized(given) == before


def test_given_message_stays_as_it_is() -> None:
    given = network()
    before = given.SerializeToString()
    read(given).graph.initializers["weight"].name = "other"
    assert given.SerializeToString() == before


# What is refused on purpose


@pytest.mark.parametrize(
    "body",
    [
        "[q] q = QuantizeLinear(x, s) y = Relu(q)",
        "[q] y, s1, z1 = DynamicQuantizeLinear(x)",
        "[q] y = ConvInteger(x, x)",
        "[q] y = MatMulInteger(x, x)",
        "[q] y = QLinearMatMul(x, s, s, x, s, s, s, s)",
        "[q] y = com.microsoft.QLinearAdd(x, s, s, x, s, s, s, s)",
        "[q] y = com.microsoft.QGemm(x, s, s, x, s, s)",
        "[q] y = com.microsoft.DynamicQuantizeMatMul(x, x, s)",
    ],
)
def test_already_quantized(body: str) -> None:
    model = text(body, more=', "com.microsoft": 1', weights="<float s = {0.1}>")
    refused(model, UnsupportedError, "already quantized", "'q'", "float network")


def test_float_operators_of_other_domains_pass() -> None:
    model = text("[g] y = com.microsoft.CDist(x, x)", more=', "com.microsoft": 1')
    assert operators(read(model)) == ["CDist"]


def norm(outputs: str, opset: int, attributes: str = "") -> onnx.ModelProto:
    three = "{1.0, 1.0, 1.0}"
    weights = "<" + ", ".join(f"float[3] {n} = {three}" for n in ("s", "b", "m", "v")) + ">"
    call = f"[norm] {outputs} = BatchNormalization {attributes} (x, s, b, m, v)"
    return text(call, opset=opset, weights=weights)


def test_batch_norm_in_training_mode() -> None:
    model = norm("y, mean, var", 17, "<training_mode=1>")
    refused(model, UnsupportedError, "BatchNormalization 'norm'", "model.eval()")


def test_batch_norm_with_used_statistics() -> None:
    model = norm("y, mean, var, saved_mean, saved_var", 13)
    assert read(model).graph[0].op_type == "BatchNormalization"
    model.graph.output.append(onnx.helper.make_tensor_value_info("mean", 1, [3]))
    refused(model, UnsupportedError, "BatchNormalization 'norm'", "model.eval()")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_weights_that_are_no_numbers(value: float, dtype: type) -> None:
    weight = WEIGHT.astype(dtype)
    weight[3, 1, 2, 0] = value
    kind = "NaN" if np.isnan(value) else "infinite"
    refused(network(weight), ModelError, "'weight'", kind)


def test_large_numbers_are_numbers() -> None:
    model = text("y = Add(x, mask)")
    mask = np.full((1, 3, 8, 8), -3e38, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
    read(model)


def test_large_numbers_are_no_weights() -> None:
    weight = WEIGHT.copy()
    weight[:2] = -3e38
    refused(network(weight), ModelError, "Conv 'conv'", "'weight'", "3e+38", "damaged")


def test_infinity_masks_and_bounds() -> None:
    body = "m = Where(k, inf, zero) a = Add(x, m) y = Max(a, inf)"
    weights = "<bool[1] k = {1}, float[1] zero = {0.0}>"
    model = text(body, weights=weights)
    model.graph.initializer.append(numpy_helper.from_array(np.float32([-np.inf]), "inf"))
    read(model)
    model.graph.node[1].input[1] = "inf"
    model.graph.node[1].op_type = "Mul"
    refused(model, ModelError, "'inf'", "infinite")


@pytest.mark.parametrize("operator", ["Add", "Sub", "Where", "Min", "CastLike", "Concat"])
def test_infinity_where_nothing_is_multiplied(operator: str) -> None:
    calls = {
        "Where": "k = Greater (x, x) y = Where (k, low, x)",
        "CastLike": "low2 = CastLike (low, x) k = Greater (x, low2) y = Where (k, x, low2)",
        "Concat": "y = Concat <axis=0> (low, x)",
    }
    model = text(calls.get(operator, f"y = {operator} (x, low)"))
    low = np.full((1, 3, 8, 8), -np.inf, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(low, "low"))
    read(model)


@pytest.mark.parametrize("value", [-1e-12, -7e-10, -5e-8])
def test_variance_that_rounding_left_below_zero(value: float) -> None:
    variance = np.ones(16, np.float32)
    variance[5] = value
    found = constant(read(network(var=variance)), "var")
    np.testing.assert_array_equal(found, np.maximum(variance, 0))


def test_negative_variance() -> None:
    variance = np.ones(16, np.float32)
    variance[5] = -0.25
    refused(network(var=variance), ModelError, "BatchNormalization 'norm'", "channel 5", "-0.25")
