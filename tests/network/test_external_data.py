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
from spiq.network.read import read


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


@pytest.mark.parametrize("where", [{"offset": 100}, {"offset": 10**9}, {"length": 10**9}])
def test_external_file_too_short(tmp_path: Path, where: dict[str, int]) -> None:
    refused(external(tmp_path, **where), ModelError, "'weight'", "net.bin", "outside the file")


def test_external_length_of_another_shape(tmp_path: Path) -> None:
    refused(external(tmp_path, length=64), ModelError, "'weight'", "64 bytes", "1728")


def test_external_data_without_a_folder(tmp_path: Path) -> None:
    refused(external(tmp_path).read_bytes(), ModelError, "'weight'", "give the path")
