"""Opsets that are turned into another one, and taken only if both compute the same."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper
from onnx_text import network, refused

from spiq.errors import UnsupportedError
from spiq.io import opset
from spiq.io.read import read
from spiq.io.write import serialize

NUMBERS = np.random.default_rng(0)


def old(version: int, mode: str, factor: float = 2.0) -> onnx.ModelProto:
    """Conv, BatchNormalization, Upsample and Dropout as exporters of the time wrote them."""
    arrays = {
        "w": NUMBERS.standard_normal((4, 3, 3, 3)),
        **{name: NUMBERS.uniform(0.1, 1, 4) for name in ("s", "b", "m", "v")},
        "f": np.array([1, 1, factor, factor]),
    }
    weights = [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()]
    scales = [1.0, 1.0, factor, factor]
    spatial = {"spatial": 1} if version < 9 else {}
    if version < 9:
        upsample = helper.make_node("Upsample", ["n"], ["u"], mode=mode, scales=scales)
    else:
        operator = "Upsample" if version < 10 else "Resize"
        upsample = helper.make_node(operator, ["n", "f"], ["u"], mode=mode)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], **spatial),
        upsample,
        helper.make_node("Dropout", ["u"], ["y"]),
    ]
    given = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 9, 9])]
    given += [helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in weights]
    result = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "old", given, result, weights)
    imports = [helper.make_opsetid("", version)]
    return helper.make_model(graph, opset_imports=imports, ir_version=3)


def run(content: bytes, x: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    opened = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    result: np.ndarray = opened.run(None, {"x": x})[0]
    return result


@pytest.mark.parametrize("version", [7, 8, 9, 10])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_old_opsets_compute_the_same(version: int, mode: str, factor: float) -> None:
    model = old(version, mode, factor)
    graph = read(model)
    assert graph.opset_imports[""] == 13
    x = NUMBERS.standard_normal((2, 3, 9, 9)).astype(np.float32)
    wanted, found = run(model.SerializeToString(), x), run(serialize(graph), x)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_conversion_that_computes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opset, "_state_places", lambda model: None)
    refused(old(9, "linear"), UnsupportedError, "opset 9", "13", "'y'", "export it")


def test_a_conversion_that_cannot_be_run() -> None:
    model = old(9, "nearest")
    model.opset_import.append(helper.make_opsetid("l", 1))
    model.graph.node[-1].CopyFrom(helper.make_node("Novel", ["u"], ["y"], domain="l"))
    refused(model, UnsupportedError, "opset 9", "Novel", "export it")


def test_the_newest_opset_is_lowered() -> None:
    model = network()
    model.opset_import[0].version = opset.NEWEST + 1
    assert read(model).opset_imports[""] == opset.NEWEST


def of_first_years(operator: str, **attributes: object) -> onnx.ModelProto:
    """An operator that has no schema any longer, in front of a convolution."""
    weight = numpy_helper.from_array(NUMBERS.standard_normal((4, 3, 3, 3)).astype(np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["s"], **attributes),
         helper.make_node("Conv", ["s", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 9, 9])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [weight],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 7)]
    return helper.make_model(graph, opset_imports=imports, ir_version=3)


@pytest.mark.parametrize(
    "model",
    [
        of_first_years("ImageScaler", scale=0.5, bias=[1.0, -2.0, 3.0]),
        of_first_years("Affine", alpha=2.0, beta=-1.0),
    ],
    ids=["ImageScaler", "Affine"],
)
def test_operators_of_the_first_years_are_spelt_out(model: onnx.ModelProto) -> None:
    x = NUMBERS.standard_normal((2, 3, 9, 9)).astype(np.float32)
    network_ = read(model)
    assert [node.op_type for node in network_.graph] == ["Mul", "Add", "Conv"]
    np.testing.assert_allclose(
        run(serialize(network_), x), run(model.SerializeToString(), x), atol=1e-5
    )


@pytest.mark.parametrize("operator", ["Gelu", "BiasGelu", "FastGelu", "QuickGelu"])
def test_activations_of_the_runtimes_own_are_spelt_out(operator: str) -> None:
    """Layers behind a Gelu stayed in float; QuickGelu was taken for an integer operator."""
    model = of_first_years(operator, domain="com.microsoft")
    model.ir_version, model.opset_import[0].version = 8, 17
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    if operator == "BiasGelu":
        bias = NUMBERS.standard_normal(9).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(bias, "b"))
        model.graph.node[0].input.append("b")
    x = NUMBERS.standard_normal((2, 3, 9, 9)).astype(np.float32)
    network_ = read(model)
    assert not any(node.domain for node in network_.graph)
    np.testing.assert_allclose(
        run(serialize(network_), x), run(model.SerializeToString(), x), atol=1e-3
    )


def test_an_operator_that_there_is_not_is_named() -> None:
    with pytest.raises(UnsupportedError, match="ONNX has no operator Blur, of 's'"):
        read(of_first_years("Blur"))
