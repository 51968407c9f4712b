"""Weights beside the model: found, missing, too short, or not to be read at all."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.external_data_helper import set_external_data
from onnx_text import WEIGHT, constant, network, refused, serialized

from spiq.errors import ModelError
from spiq.io.read import beside, read
from spiq.pipeline import quantize


def external(folder: Path, location: str = "data/net.bin", **where: int) -> Path:
    model = network()
    raw = model.graph.initializer[0].raw_data
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "net.bin").write_bytes(bytes(3) + raw)
    set_external_data(model.graph.initializer[0], location, **{"offset": 3, **where})
    model.graph.initializer[0].ClearField("raw_data")
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def test_external_data(tmp_path: Path) -> None:
    graph = read(external(tmp_path, length=WEIGHT.nbytes))
    np.testing.assert_array_equal(constant(graph, "weight"), WEIGHT)
    assert serialized(graph) == serialized(read(network()))


def test_external_data_of_a_graph_in_memory(tmp_path: Path) -> None:
    graph = ir.load(external(tmp_path))
    np.testing.assert_array_equal(constant(read(graph), "weight"), WEIGHT)
    assert isinstance(graph.graph.initializers["weight"].const_value, ir.ExternalTensor)


def test_external_data_hard_linked(tmp_path: Path) -> None:
    path = external(tmp_path)
    os.link(tmp_path / "data" / "net.bin", tmp_path / "second name")
    np.testing.assert_array_equal(constant(read(path), "weight"), WEIGHT)


def test_external_file_missing(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "data" / "net.bin").unlink()
    refused(path, ModelError, "'weight'", "data/net.bin", str(path), "no such file")


@pytest.mark.parametrize("location", ["../net.bin", "data/../../net.bin", "/etc/passwd"])
def test_external_file_outside(tmp_path: Path, location: str) -> None:
    (tmp_path / "net.bin").write_bytes(bytes(9000))
    path = external(tmp_path / "model", location)
    refused(path, ModelError, "'weight'", location, "outside the folder")


def test_external_file_links_outside(tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_bytes(bytes(9000))
    path = external(tmp_path / "model", "link")
    (tmp_path / "model" / "link").symlink_to("../net.bin")
    refused(path, ModelError, "'weight'", "'link'", "outside the folder")


@pytest.mark.parametrize("location", ["a\0b", "n" * 300, "data"])
def test_external_file_of_a_bad_name(tmp_path: Path, location: str) -> None:
    refused(external(tmp_path, location), ModelError, "'weight'", "net.onnx")


def test_external_file_is_a_folder(tmp_path: Path) -> None:
    refused(external(tmp_path, "data"), ModelError, "'weight'", "'data'", "no regular file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_external_file_is_a_pipe(tmp_path: Path) -> None:
    """It must not be opened: nobody writes to it, and reading waits."""
    path = external(tmp_path, "pipe")
    os.mkfifo(tmp_path / "pipe")
    refused(path, ModelError, "'weight'", "'pipe'", "no regular file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_model_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.onnx")
    refused(tmp_path / "net.onnx", ModelError, "net.onnx", "not a regular file")


def test_external_file_links_to_a_device(tmp_path: Path) -> None:
    path = external(tmp_path, "link")
    (tmp_path / "link").symlink_to("/dev/zero")
    refused(path, ModelError, "'weight'", "'link'", "outside the folder")


@pytest.mark.parametrize("key", ["offset", "length"])
@pytest.mark.parametrize("value", ["-1", str(2**63), "9" * 30, "1e3", "x", ""])
def test_external_place_that_is_no_number(tmp_path: Path, key: str, value: str) -> None:
    path = external(tmp_path, length=WEIGHT.nbytes)
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == key:
            entry.value = value
    path.write_bytes(model.SerializeToString())
    refused(path, ModelError, "net.onnx", "'weight'", key)


@pytest.mark.parametrize("length", [0, WEIGHT.nbytes - 1, WEIGHT.nbytes + 1])
def test_external_length_is_not_that_of_the_shape(tmp_path: Path, length: int) -> None:
    refused(external(tmp_path, length=length), ModelError, "'weight'")


@pytest.mark.parametrize("kind", [onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING])
def test_external_data_of_no_numbers(tmp_path: Path, kind: int) -> None:
    path = external(tmp_path)
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].data_type = kind
    path.write_bytes(model.SerializeToString())
    refused(path, ModelError, "'weight'", "not one of numbers")


def test_external_numbers_of_half_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read from beside the model too, and counted."""
    path = external(tmp_path, length=WEIGHT.nbytes)
    model = onnx.load(path, load_external_data=False)
    four = onnx.helper.make_tensor("four", onnx.TensorProto.INT4, [4], bytes([0x21, 0x43]), True)
    (tmp_path / "four.bin").write_bytes(four.raw_data)
    set_external_data(four, "four.bin", offset=0, length=2)
    four.ClearField("raw_data")
    model.graph.initializer.append(four)
    model.opset_import[0].version = 21
    model.ir_version = 10
    path.write_bytes(model.SerializeToString())
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(constant(read(path), "four").astype(int), [1, 2, 3, 4])
    (tmp_path / "four.bin").write_bytes(bytes(1))
    refused(path, ModelError, "'four'", "outside the file")


def test_external_data_of_a_constant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies beside the model, not in the folder that the process happens to be in."""
    model = network()
    tensor = model.graph.initializer[0]
    node = onnx.helper.make_node("Constant", [], ["weight"], value=tensor)
    del model.graph.initializer[0]
    model.graph.node.insert(0, node)
    (tmp_path / "net.bin").write_bytes(tensor.raw_data)
    set_external_data(node.attribute[0].t, "net.bin")
    node.attribute[0].t.ClearField("raw_data")
    model.graph.node.remove(model.graph.node[0])
    model.graph.node.insert(0, node)
    onnx.save(model, tmp_path / "net.onnx")
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(constant(read(tmp_path / "net.onnx"), "weight"), WEIGHT)


@pytest.mark.parametrize("where", [{"offset": 100}, {"offset": 10**9}, {"length": 10**9}])
def test_external_file_too_short(tmp_path: Path, where: dict[str, int]) -> None:
    refused(external(tmp_path, **where), ModelError, "'weight'", "net.bin", "outside the file")


def test_external_length_of_another_shape(tmp_path: Path) -> None:
    refused(external(tmp_path, length=64), ModelError, "'weight'", "64 bytes", "1728")


def test_external_data_without_a_folder(tmp_path: Path) -> None:
    refused(external(tmp_path).read_bytes(), ModelError, "'weight'", "give the path")


def test_external_data_counts_in_the_size(tmp_path: Path) -> None:
    path = external(tmp_path, length=WEIGHT.nbytes)
    assert beside(read(path)) == (tmp_path / "data" / "net.bin").stat().st_size
    assert beside(read(network())) == 0
    report = quantize(path).report
    assert report.bytes_before == path.stat().st_size + 3 + WEIGHT.nbytes
