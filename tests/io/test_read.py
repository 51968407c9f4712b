"""Files and versions, broken and sound, and what reading makes of them."""

import io
import logging
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from onnx_text import SHUFFLED, WEIGHT, constant, network, operators, refused, serialized, text

from spiq.errors import ConfigError, ModelError, UnsupportedError
from spiq.io.opset import NEWEST
from spiq.io.read import read
from spiq.pipeline import quantize

# The file


def test_same_graph_from_path_bytes_message_and_graph(tmp_path: Path) -> None:
    proto = network()
    path = tmp_path / "net.onnx"
    onnx.save(proto, path)
    sources = [path, str(path), path.read_bytes(), proto, ir.load(path), read(path)]
    assert len({serialized(read(source)) for source in sources}) == 1


def archive(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as written:
        for name in names:
            written.writestr(name, "x")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello, this is no model at all\n" * 9, "is not an ONNX file"),
        (np.random.default_rng(0).bytes(5000), "is not an ONNX file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"PK\x03\x04" + bytes(100), "export the network to ONNX"),
        (archive("net/readme.txt"), "is a zip archive"),
        (archive("net/data.pkl", "net/data/0"), "is a pickled PyTorch file: to read it is to run"),
        (archive("net/data.pkl", "net/code/net.py"), "is a TorchScript file"),
        (archive("net/models/model.json"), "spiq.torch.quantize"),
        (b"\x80\x02}q\x00." + bytes(100), "is a pickled PyTorch file"),
        (network().SerializeToString()[:-20], "cut short"),
        (network().SerializeToString()[:900], "cut short"),
    ],
    ids=[
        "empty",
        "text",
        "random",
        "lfs",
        "cut zip",
        "zip",
        "checkpoint",
        "torchscript",
        "program",
        "pickle",
        "truncated",
        "truncated weight",
    ],
)
def test_other_content(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    refused(path, ModelError, str(path), words)


def test_every_truncation_is_refused() -> None:
    content = network().SerializeToString()
    for size in range(0, len(content), 37):
        with pytest.raises(ModelError):
            read(content[:size])


def test_damaged_bytes_are_read_or_refused() -> None:
    random = np.random.default_rng(0)
    content = network().SerializeToString()
    graph = [*range(300), *range(len(content) - 500, len(content))]
    for _ in range(300):
        damaged = bytearray(content)
        for at in random.choice(graph, 3):
            damaged[at] = random.integers(256)
        try:
            read(bytes(damaged))
        except ModelError as error:
            assert "\n" not in str(error)


def test_no_such_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", ModelError, "none.onnx", "no such file", "check the path")


def test_folder(tmp_path: Path) -> None:
    refused(tmp_path, ModelError, str(tmp_path), "is a folder")


def test_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file" / "net.onnx", ModelError, "net.onnx", "cannot be read")


@pytest.mark.parametrize("name", ["a\0b", "n" * 300, "two\nlines"])
def test_strange_name(tmp_path: Path, name: str) -> None:
    refused(tmp_path / name, ModelError, "check the path")


def test_name_that_is_no_text(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/n\xff.onnx"
    try:
        Path(os.fsdecode(path)).write_bytes(network().SerializeToString())
    except OSError:
        pytest.skip("the file system takes no such names")
    assert quantize(os.fsdecode(path)).report.snr_db["y"] > 20


def test_other_type() -> None:
    with pytest.raises(ConfigError, match="not int"):
        read(3)  # type: ignore[arg-type]


def test_no_nodes() -> None:
    refused(onnx.ModelProto(opset_import=text(SHUFFLED).opset_import), ModelError, "no nodes")


def test_no_outputs() -> None:
    model = network()
    del model.graph.output[:]
    refused(model, ModelError, "no outputs")


def test_weights_as_float_data_and_half() -> None:
    model = network()
    half = WEIGHT.astype(np.float16)
    del model.graph.initializer[0]
    model.graph.initializer.append(
        onnx.helper.make_tensor("weight", onnx.TensorProto.FLOAT, WEIGHT.shape, WEIGHT.ravel())
    )
    model.graph.initializer.append(numpy_helper.from_array(np.tile(half, 2), "half"))
    graph = read(model)
    np.testing.assert_array_equal(constant(graph, "weight"), WEIGHT)
    np.testing.assert_array_equal(constant(graph, "half"), np.tile(half, 2))


def test_weights_are_aligned_and_read_only() -> None:
    array = constant(read(network().SerializeToString()), "weight")
    assert array.flags.aligned and not array.flags.writeable


def test_small_weight_without_numbers() -> None:
    model = network()
    model.graph.initializer[1].ClearField("raw_data")
    refused(model, ModelError, "'scale'", "64 bytes", "damaged")


@pytest.mark.parametrize("cut", [4, 1200, 1728], ids=["large", "small", "none"])
def test_weight_of_another_size(cut: int) -> None:
    model = network()
    raw = model.graph.initializer[0].raw_data
    model.graph.initializer[0].raw_data = raw[: len(raw) - cut]
    refused(model, ModelError, "'weight'", "damaged")


# Versions


def test_opset_older_than_7() -> None:
    refused(text(SHUFFLED, opset=6), UnsupportedError, "opset 6", "older than 7", "opset 13")


@pytest.mark.parametrize("opset", [11, 12])
def test_opset_is_raised_to_13(opset: int) -> None:
    model = text(
        "c = Conv(x, weight) s = ReduceSum <axes=[3]> (c) y = Squeeze <axes=[3]> (s)", opset=opset
    )
    model.graph.initializer.append(numpy_helper.from_array(WEIGHT, "weight"))
    model.metadata_props.add(key="author", value="someone")
    graph = read(model)
    assert graph.opset_imports == {"": 13}
    assert graph.ir_version == 8
    assert graph.metadata_props == {"author": "someone"}
    assert operators(graph) == ["Conv", "ReduceSum", "Squeeze"]
    assert [value.name for value in graph.graph.inputs] == ["x"]
    np.testing.assert_array_equal(constant(graph, "weight"), WEIGHT)
    assert [len(node.inputs) for node in graph.graph] == [2, 2, 2]


@pytest.mark.parametrize("version", [13, 17, NEWEST])
def test_newer_opset_stays(version: int) -> None:
    assert read(text(SHUFFLED, opset=version)).opset_imports == {"": version}


def test_unknown_opset() -> None:
    refused(text(SHUFFLED, opset=999), UnsupportedError, "opset 999", "newer onnx")


def test_unknown_ir_version() -> None:
    model = text(SHUFFLED)
    model.ir_version = 99
    refused(model, UnsupportedError, "IR version 99", "newer onnx")


def test_no_opset() -> None:
    model = text(SHUFFLED)
    del model.opset_import[:]
    refused(model, ModelError, "no opset")


def test_default_domain_by_its_other_name() -> None:
    model = text(SHUFFLED)
    model.opset_import[0].domain = "ai.onnx"
    assert read(model).opset_imports == {"": 17}
    for node in model.graph.node:
        node.domain = "ai.onnx"  # with which the runtime takes them, too
    for domain in ("ai.onnx", ""):
        model.opset_import[0].domain = domain
        assert {node.domain for node in read(model).graph} == {""}


def test_ir_version_3_lists_weights_as_inputs() -> None:
    model = network()
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    graph = read(model)
    assert graph.ir_version == 3
    assert [value.name for value in graph.graph.inputs] == ["x"]
    assert graph.graph.inputs[0].dtype == ir.DataType.FLOAT
    assert list(graph.graph.initializers) == ["weight", "scale", "bias", "mean", "var"]


# What is made simpler


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("value = float[2] {1.0, 2.0}", np.float32([1, 2])),
        ("value_float = 2.5", np.float32(2.5)),
        ("value_floats = [2.5, 3.0]", np.float32([2.5, 3])),
        ("value_int = 7", np.int64(7)),
        ("value_ints = [7, 8]", np.int64([7, 8])),
    ],
)
def test_constants_become_initializers(attribute: str, value: np.ndarray) -> None:
    graph = read(text(f"k = Constant <{attribute}> () f = Cast <to=1> (k) y = Identity(f)"))
    assert operators(graph) == ["Cast", "Identity"]
    np.testing.assert_array_equal(constant(graph, "k"), value, strict=True)
    assert graph.graph.initializers["k"].shape == list(np.shape(value))


def test_functions_are_inlined() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17, "local": 1]> '
        "net (float[1,3,8,8] x) => (float[1,3,8,8] y) "
        "{ a = local.twice(x) y = local.twice(a) } "
        '<domain: "local", opset_import: ["": 17]> '
        "twice (v) => (w) { t = Relu(v) w = Neg(t) }"
    )
    graph = read(model)
    assert operators(graph) == ["Relu", "Neg", "Relu", "Neg"]
    assert not graph.functions
    assert all(value.shape == [1, 3, 8, 8] for node in graph.graph for value in node.outputs)
    model.functions[0].opset_import[0].version = 16
    refused(model, UnsupportedError, "inlined", "without functions")


def test_subgraphs_pass() -> None:
    model = text(
        "c = Constant <value = bool {1}> () y = If (c) "
        "<then_branch = t () => (float[N,3,8,8] z) { z = Relu(x) }, "
        "else_branch = e () => (float[N,3,8,8] w) { w = Neg(x) }>"
    )
    graph = read(model)
    assert operators(graph) == ["If"]
    assert [node.op_type for node in graph.graph.all_nodes()] == ["If", "Relu", "Neg"]


def test_shapes() -> None:
    model = text(
        "c = Conv(x, weight) s = Reshape(c, shape) p = GlobalAveragePool(c) "
        "f = Flatten(p) y = Gemm(f, f2)",
        weights="<int64[2] shape = {-1, 576}>",
    )
    model.graph.initializer.append(numpy_helper.from_array(WEIGHT, "weight"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((16, 32), np.float32), "f2"))
    graph = read(model)
    shapes = {value.name: str(value.shape) for node in graph.graph for value in node.outputs}
    assert shapes["c"] == "[N,16,6,6]"
    assert re.fullmatch(r"\[\w+,576\]", shapes["s"])
    assert shapes["y"] == "[N,32]"
    assert all(value.dtype for node in graph.graph for value in node.outputs)


def test_shapes_that_contradict_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        graph = read(text("a = Reshape(x, s) y = Relu(a)", weights="<int64[1] s = {7}>"))
    assert operators(graph) == ["Reshape", "Relu"]
    assert not caplog.records
