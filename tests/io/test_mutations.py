"""What damaged files are refused for: a test per kind of damage that once got through, and many.

bench/mutate.py makes thousands; what it finds comes here.
"""

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx_text import WEIGHT, network, refused, text

from small_networks import bn, build, images_for, norm
from spiq.errors import ModelError, UnsupportedError
from spiq.graph.shapes import take_stated
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.pipeline import quantize

MUTATE = Path(__file__).parents[2] / "bench" / "mutate.py"


@pytest.mark.process
def test_hundreds_of_damaged_files() -> None:
    """Each is quantized or refused in one line: no traceback, no crash, no gigabyte, no hang."""
    command = [sys.executable, "-W", "ignore", MUTATE, "--count", "250", "--seed", "5"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.startswith("0 of 250 fail")


def with_constants(body: str, opset: int = 17, **arrays: object) -> onnx.ModelProto:
    model = text(body, opset=opset)
    for name, array in {"w": WEIGHT, **arrays}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return model


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


# Nodes that do not keep to their operators


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("[c] y = Conv <pads=1> (x, w)", ("Conv 'c'", "pads", "'INTS'")),
        ("[c] y = Conv (x)", ("Conv 'c'", "input size 1")),
        ("[b] n = BatchNormalization (x) y = Conv (n, w)", ("BatchNormalization 'b'",)),
        ("[i] i = Identity () y = Conv (x, w)", ("Identity 'i'", "input size 0")),
        ("[c] y = Conv <nonsense=1> (x, w)", ("Conv 'c'", "nonsense")),
        ("[t] t = Transpose <perm=[0,0,1,2]> (x) y = Conv (t, w)", ("repeated value",)),
        ("[c] c = Concat <axis=7> (x, x) y = Conv (c, w)", ("axis",)),
        ("[c] y = Conv <strides=[0,1]> (x, w)", ("strides",)),
    ],
)
def test_nodes_against_their_operators(body: str, words: tuple[str, ...]) -> None:
    refused(with_constants(body), ModelError, *words)


def test_operators_that_onnx_does_not_know_are_left_alone() -> None:
    model = with_constants("a = Conv (x, w) y = Novel <nonsense=1> (a)")
    assert [node.op_type for node in read(model).graph] == ["Conv", "Novel"]


def test_subgraphs_are_checked_too() -> None:
    body = (
        "k = Constant <value = bool {1}> () c = Conv (x, w) y = If (k) "
        "<then_branch = t () => (float z) { [in] z = Softmax <axis=0.5> (c) }, "
        "else_branch = e () => (float z) { z = Relu (c) }>"
    )
    refused(with_constants(body), ModelError, "Softmax 'in'", "axis")


def attribute_without_type(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("pads", [0, 0, 0, 0]))
    model.graph.node[0].attribute[-1].ClearField("type")


def text_that_is_none(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("auto_pad", b"\xff\xfe"))


def node_without_outputs(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["x"], []))


def weight_of_text(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("weight", onnx.TensorProto.STRING, [1], [b"w"])
    model.graph.initializer[0].CopyFrom(tensor)


def weight_without_texts(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = onnx.TensorProto.STRING
    model.graph.initializer[0].ClearField("raw_data")


def input_of_text(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING


@pytest.mark.parametrize(
    "damage",
    [
        attribute_without_type,
        text_that_is_none,
        node_without_outputs,
        weight_of_text,
        weight_without_texts,
        input_of_text,
    ],
)
def test_broken_messages(damage: Callable[[onnx.ModelProto], None]) -> None:
    model = network()
    damage(model)
    refused(model, ModelError, "the given ModelProto")


@pytest.mark.parametrize("place", ["node", "value", "weight"])
def test_names_that_are_no_text(place: str) -> None:
    old = {"node": b"conv", "value": b"norm", "weight": b"weight"}[place]
    content = network().SerializeToString()
    refused(content.replace(old, b"\xff" + old[1:]), ModelError, "is no text", "damaged")


# Sizes that do not fit


@pytest.mark.parametrize(
    ("body", "arrays", "words"),
    [
        ("[c] y = Conv (x, w)", {"w": WEIGHT[:, :2]}, ("Conv 'c'", "[16, 2, 3, 3]")),
        ("[c] y = Conv <group=5> (x, w)", {}, ("Conv 'c'", "5 groups")),
        ("[c] y = Conv <group=0> (x, w)", {}, ("Conv 'c'", "0 groups")),
        ("[c] y = Conv <kernel_shape=[5,5]> (x, w)", {}, ("Conv 'c'", "kernel_shape [5, 5]")),
        ("[p] y = MaxPool <kernel_shape=[2,255]> (x)", {}, ("MaxPool 'p'", "wider than what it")),
        ("[c] y = Conv <pads=[1]> (x, w)", {}, ("pads",)),
        ("[c] y = Conv <strides=[100000,1]> (x, w)", {}, ("Conv 'c'", "strides")),
        ("[c] y = Conv (x, w, b)", {"b": np.ones(7, np.float32)}, ("Conv 'c'", "'b'", "[7]")),
        ("[c] y = Conv (x, w)", {"w": WEIGHT[:0]}, ("Conv 'c'",)),
        (
            "[n] n = BatchNormalization (x, o, o, o, b) y = Conv (n, w)",
            {"o": np.ones(3, np.float32), "b": np.ones(4, np.float32)},
            (),
        ),
        ("f = Flatten (x) [g] y = Gemm (f, m)", {"m": np.ones((4, 2), np.float32)}, ()),
        ("p = PRelu (x, s) y = Conv (p, w)", {"s": np.ones((5, 1, 1), np.float32)}, ("slope",)),
        ("t = Transpose <perm=[0,1]> (x) y = Conv (x, w)", {}, ("permutes 2",)),
        (
            "[k] k = Clip (x, o) y = Conv (k, w)",
            {"o": np.ones(3, np.float32)},
            ("Clip 'k'", "a single number"),
        ),
        (
            "[k] k = Clip (x, a, b) y = Conv (k, w)",
            {"a": np.float32(0), "b": np.float32(-np.inf)},
            ("Clip 'k'", "from 0 to -inf"),
        ),
        (
            "[s] s = Slice (x, o, t, o) y = Conv (s, w)",
            {"o": whole(0), "t": whole(3, 4)},
            (),
        ),
        ("g = Gather <axis=1> (x, i) y = Conv (g, w)", {"i": whole(0, 1, 9)}, ("0 to 9 of 3",)),
        ("s = Softmax <axis=-1099511627776> (x) y = Conv (s, w)", {}, ("axis = -10995",)),
    ],
)
def test_sizes_that_do_not_fit(
    body: str, arrays: dict[str, np.ndarray], words: tuple[str, ...]
) -> None:
    refused(with_constants(body, **arrays), ModelError, *words)


def test_norm_of_an_older_opset() -> None:
    """Before opset 14, ONNX's inference does not compare them."""
    arrays = {"o": np.ones(3, np.float32), "b": np.ones((3, 1), np.float32)}
    body = "[n] n = BatchNormalization (x, o, o, b, o) y = Conv (n, w)"
    refused(with_constants(body, 13, **arrays), ModelError, "BatchNormalization 'n'", "[3, 1]")


def test_stated_shapes_count_only_where_nothing_is_known() -> None:
    """A stale or damaged shape of a value in the middle misleads nobody."""
    model = with_constants("a = Conv (x, w) b = Novel (a) y = Relu (b)")
    for name in ("a", "b"):
        info = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 7, 7, 7])
        model.graph.value_info.append(info)
    made = read(model)
    take_stated(made)
    values = {value.name: value for node in made.graph for value in node.outputs}
    assert list(values["a"].shape or ())[1:] == [16, 6, 6]
    assert list(values["b"].shape or ())[1:] == [7, 7, 7]


# Sizes beyond measure: refused before anything is computed


@pytest.mark.parametrize(
    ("body", "arrays"),
    [
        ("p = Pad (x, s) y = Conv (p, w)", {"s": whole(0, 0, 10**6, 10**6, 0, 0, 10**6, 10**6)}),
        ("p = Expand (x, s) y = Conv (p, w)", {"s": whole(10**12, 3, 8, 8)}),
        ("p = Tile (x, s) y = Conv (p, w)", {"s": whole(1, 1, 10**5, 10**5)}),
        ("p = Resize (x, , s) y = Conv (p, w)", {"s": np.float32([1, 1, 1e6, 1e6])}),
        ("c = ConstantOfShape (s) a = Add (x, c) y = Conv (a, w)", {"s": whole(2**40, 3, 8, 8)}),
    ],
    ids=["Pad", "Expand", "Tile", "Resize", "ConstantOfShape"],
)
def test_tensors_beyond_measure(body: str, arrays: dict[str, np.ndarray]) -> None:
    refused(with_constants(body, **arrays), UnsupportedError, "GB", "smaller inputs")


@pytest.mark.parametrize("times", [18, 32, 40])
@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_doublings_of_a_list(times: int, dtype: type) -> None:
    """Inference that follows the numbers of lists would take all memory, and hang."""
    doubled = " ".join(f"d{i + 1} = Concat <axis=0> (d{i}, d{i})" for i in range(times))
    body = f"{doubled} m = ReduceMax <keepdims=0> (d{times}) f = Cast <to=1> (m) c = Conv (x, w)"
    model = with_constants(f"{body} y = Add (c, f)", d0=np.ones(1, dtype))
    if times == 18:
        read(model)
    else:
        refused(model, UnsupportedError, "GB")


def test_ranges_beyond_measure() -> None:
    arrays = {"a": np.int64(0), "b": np.int64(10**12), "c": np.int64(1)}
    body = "[r] r = Range (a, b, c) f = Cast <to=1> (r) y = Conv (x, w) z = ReduceMax (f)"
    refused(with_constants(body, **arrays), ModelError, "Range 'r'", "1e+12")


@pytest.mark.parametrize("dims", [[10**12, 3, 3, 3], [2**31, 2**31, 2**31, 3], [-8, 3, 3, 3]])
def test_weights_beyond_measure_without_numbers(dims: list[int]) -> None:
    model = network()
    model.graph.initializer[0].dims[:] = dims
    model.graph.initializer[0].ClearField("raw_data")
    refused(model, ModelError, "'weight'", "damaged")


def test_inputs_beyond_measure() -> None:
    model = network()
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].dim_value = 10**12
    refused(model, UnsupportedError, "'x'", "GB")
    dims[0].dim_value = 1 << 16
    refused(model, UnsupportedError, "'x'", "65536 images", "dynamic batch")
    dims[0].dim_value = 0
    refused(model, ModelError, "'x'", "holds nothing")
    dims[0].dim_value = -1  # as some exporters write what is not known
    assert read(model).graph.inputs[0].shape is not None


def test_inputs_without_a_rank() -> None:
    model = network()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    refused(model, UnsupportedError, "input 'x'", "how many dimensions", "[N,3,224,224]")


def test_constants_beyond_measure_are_not_computed() -> None:
    arrays = {"one": np.ones(1, np.float32), "s": whole(1 << 28)}
    body = "e = Expand (one, s) m = ReduceMax <keepdims=0> (e) c = Conv (x, w) y = Add (c, m)"
    model = read(with_constants(body, **arrays))
    prepare(model)
    assert "Expand" in [node.op_type for node in model.graph]


def functions(levels: int, calls: int) -> onnx.ModelProto:
    """Each function calls the one below it so many times; level 0 is a Relu."""
    model = text("a = l.f0 (x) y = Conv (a, w)", more=', "l": 1')
    model.graph.node[0].op_type = f"f{levels}"
    model.graph.initializer.append(numpy_helper.from_array(WEIGHT, "w"))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("l", 1)]
    for level in range(levels + 1):
        names = ["q", *(f"v{i}" for i in range(calls - 1)), "r"]
        inner = ("Relu", "") if level == 0 else (f"f{level - 1}", "l")
        nodes = [helper.make_node(inner[0], [a], [b], domain=inner[1]) for a, b in pairwise(names)]
        model.functions.append(helper.make_function("l", f"f{level}", ["q"], ["r"], nodes, opsets))
    return model


def test_functions_beyond_measure() -> None:
    assert len(read(functions(2, 3)).graph) == 28
    refused(functions(12, 8), UnsupportedError, "functions", "more than 1000000 nodes")


def test_functions_that_call_themselves() -> None:
    model = functions(1, 1)
    model.functions[0].node[0].CopyFrom(helper.make_node("f0", ["q"], ["r"], domain="l"))
    refused(model, UnsupportedError, "functions", "calls itself")


# Numbers


@pytest.mark.parametrize("name", ["epsilon", "alpha"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_attributes_that_are_no_numbers(name: str, value: float) -> None:
    model = network()
    node = {"epsilon": model.graph.node[1], "alpha": model.graph.node[2]}[name]
    node.op_type = "BatchNormalization" if name == "epsilon" else "LeakyRelu"
    node.attribute.append(helper.make_attribute(name, value))
    refused(model, ModelError, node.op_type, name, "damaged")


@pytest.mark.parametrize("body", ["n = Add (c, m)", "n = Mul (c, m)", "n = Sub (c, m)"])
def test_masks_are_not_folded(body: str) -> None:
    """Infinity, or nearly that, in a weight would leave nothing of it."""
    mask = np.full((1, 16, 1, 1), -3e38, np.float32)
    model = read(with_constants(f"c = Conv (x, w) {body} y = Relu (n)", m=mask))
    prepare(model)
    assert [node.op_type for node in model.graph] == ["Conv", body[4:7], "Relu"]


def test_division_by_nothing_is_not_folded() -> None:
    model = with_constants("c = Conv (x, w) n = Div (c, m) y = Relu (n)", m=np.float32(0))
    prepared = read(model)
    prepare(prepared)
    assert [node.op_type for node in prepared.graph] == ["Conv", "Div", "Relu"]


def test_masks_are_not_observed() -> None:
    """Where there is no normalization, sums are observed too; of infinity there is no variance."""
    mask = np.zeros((1, 16, 1, 1), np.float32)
    mask[0, 3] = -np.inf
    body = "c = Conv (x, w) n = Add (c, m) r = Relu (n) y = Conv (r, v)"
    model = with_constants(body, m=mask, v=np.ones((4, 16, 1, 1), np.float32))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    assert quantize(model).report.snr_db["y"] > 20


@pytest.mark.parametrize("call", ["Clip (n, low)", "Clip (n, low, )"])
def test_a_bound_on_one_side(call: str) -> None:
    """A ReLU by another name."""
    body = f"c = Conv (x, w) n = Add (c, c) k = {call} y = Conv (k, v)"
    model = with_constants(body, low=np.float32(0), v=np.ones((4, 16, 1, 1), np.float32))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    assert quantize(model).report.snr_db["y"] > 20


@pytest.mark.parametrize("value", [1e-44, 1e-38, 3e-31])
@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 4)])
def test_weights_beneath_all_numbers(value: float, rows: slice) -> None:
    """Silent, and exact: what a row of them adds to its bias is nothing."""
    last = np.random.default_rng(0).standard_normal((5, 16, 1, 1)).astype(np.float32)
    last[rows] = value
    bias = np.float32([1, 0, 3, 0, 5])
    model = with_constants("c = Conv (x, w) r = Relu (c) y = Conv (r, v, b)", v=last, b=bias)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    made = quantize(model)
    x = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    found = made.run({"x": x})["y"][:, rows]
    wanted = np.broadcast_to(bias[rows].reshape(1, -1, 1, 1), found.shape)
    np.testing.assert_allclose(found, wanted, atol=0.05)
    assert made.report.snr_db["y"] > 20


@pytest.mark.parametrize("value", [1e-44, 1e-30])
def test_a_first_layer_of_next_to_nothing(value: float) -> None:
    """What its norm states would be that of an input of 1e30: casts overflowed, with a warning."""
    body = "[c] c = Conv<pads=[1,1,1,1]>(x, w) " + bn("c", "n") + "r = Relu(n) [d] y = Conv(r, v)"
    model = build(
        body, w=np.full((16, 3, 3, 3), value, np.float32), v=(4, 16, 1, 1), **norm("n", 16)
    )
    made = quantize(model)
    assert max(made.plan.tensors["x"].high) < 1e3
    assert np.isfinite(made.run(images_for(model))["y"]).all()


# What is left in the end


def test_an_output_that_no_layer_reaches() -> None:
    model = network()
    model.graph.output[0].name = "scale"
    with pytest.raises(UnsupportedError, match="that an output depends on"):
        prepare(read(model))


def test_version_of_the_file_does_not_matter_to_the_converter() -> None:
    """IR version 3 lists weights as inputs too; opset 11 is converted."""
    model = network()
    model.opset_import[0].version, model.ir_version = 11, 3
    model.graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in model.graph.initializer
    )
    assert read(model).opset_imports[""] == 13


@pytest.mark.parametrize(
    "body",
    [
        "k = Clip (x, o) y = Conv (k, w)",
        "k = Squeeze (x, a) u = Unsqueeze (k, a) y = Conv (u, w)",
    ],
)
def test_single_numbers_in_either_spelling(body: str) -> None:
    model = with_constants(body, o=np.ones(1, np.float32), a=np.int64(0))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    prepared = read(model)
    prepare(prepared)
    for node in prepared.graph:
        if node.op_type != "Conv":
            assert node.inputs[1] is not None
            assert len(node.inputs[1].shape or ()) == (0 if node.op_type == "Clip" else 1)


@pytest.mark.parametrize("operator", ["Conv", "MaxPool", "Flatten"])
def test_operators_of_another_domain_are_not_rewritten(operator: str) -> None:
    """They only share the name with those that are known."""
    bodies = {
        "Conv": 'c = Conv (x, w) g = GlobalAveragePool (c) y = l.Conv <auto_pad="VALID"> (g, w)',
        "MaxPool": 'c = Conv (x, w) y = l.MaxPool <auto_pad="SAME_UPPER"> (c)',
        "Flatten": "c = Conv (x, w) g = GlobalAveragePool (c) h = Conv (g, v) y = l.Flatten (h)",
    }
    model = text(bodies[operator], more=', "l": 1')
    for name, array in {"w": WEIGHT, "v": np.ones((4, 16, 1, 1), np.float32)}.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    prepared = read(model)
    before = [(node.domain, node.op_type, set(node.attributes)) for node in prepared.graph]
    prepare(prepared)
    assert [(n.domain, n.op_type, set(n.attributes)) for n in prepared.graph] == before
