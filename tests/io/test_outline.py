"""A large file's weights stay where they are, and are the same numbers."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_text import constant, network, refused, serialized

from spiq.errors import ModelError
from spiq.graph import lazy
from spiq.graph.lazy import is_lazy
from spiq.io import outline as outlines
from spiq.io.outline import INSIDE, outline
from spiq.io.read import beside, read


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "LARGE", 1)
    monkeypatch.setattr(outlines, "_LEFT_OUT", 8)
    monkeypatch.setattr("spiq.io.weight_tensors._SMALL", 8)


def saved(folder: Path, model: onnx.ModelProto, name: str = "net.onnx") -> Path:
    (folder / name).write_bytes(model.SerializeToString())
    return folder / name


def as_floats(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the weights in the field for floats."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(tensor)
            tensor.ClearField("raw_data")
            tensor.float_data.extend(array.reshape(-1).tolist())
    return model


@pytest.mark.parametrize("change", [lambda model: model, as_floats], ids=["raw", "floats"])
def test_weights_are_read_where_they_are(change, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = saved(tmp_path, change(network()))
    found = outline(path)
    assert found is not None
    places = [entry.value for w in found.graph.initializer for entry in w.external_data]
    assert places[::3] and set(places[::3]) == {INSIDE}
    model = read(path)
    assert is_lazy(model.graph.initializers["weight"])
    assert serialized(model) == serialized(read(network()))
    assert beside(model) == 0


def test_of_a_middling_file_they_are_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy, "LARGE", 1 << 30)
    monkeypatch.setattr("spiq.io.read._OUTLINED", 1)
    path = saved(tmp_path, network())
    model = read(path)
    path.write_bytes(b"")  # nobody looks at it any longer
    assert not is_lazy(model.graph.initializers["weight"])
    assert serialized(model) == serialized(read(network()))


def test_other_fields_stay(tmp_path: Path) -> None:
    model = network()
    model.doc_string, model.graph.doc_string = "a", "b"
    model.metadata_props.add(key="c", value="d")
    model.graph.initializer[0].doc_string = "e"
    found = outline(saved(tmp_path, model))
    assert found is not None
    for weight, plain in zip(found.graph.initializer, model.graph.initializer, strict=True):
        weight.ClearField("external_data")
        weight.ClearField("data_location")
        plain.ClearField("raw_data")
    assert found == model


def test_a_link_leads_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    path = saved(tmp_path / "there", network())
    os.symlink(path, tmp_path / "link.onnx")
    plain = constant(read(network()), "weight")
    np.testing.assert_array_equal(constant(read(tmp_path / "link.onnx"), "weight"), plain)


def test_no_other_file_may_be_named_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=INSIDE)
    path = saved(tmp_path, model)
    monkeypatch.setattr(lazy, "LARGE", 1 << 30)
    refused(path, ModelError, "'weight'", "no such file")


def test_too_few_numbers(tmp_path: Path) -> None:
    model = network()
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    refused(saved(tmp_path, model), ModelError, "'weight'", "the file is damaged")


@pytest.mark.parametrize("kept", [1, 100, 0.5, 0.99])
def test_what_is_cut_short_is_refused(kept: float, tmp_path: Path) -> None:
    content = network().SerializeToString()
    path = tmp_path / "net.onnx"
    path.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    refused(path, ModelError, "not an ONNX file, or is cut short")


@pytest.mark.parametrize("content", [b"\xff" * 100, b"<html>", b"\x07\x01", b"\x00\x01"])
def test_other_files(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert outline(path) is None
    refused(path, ModelError, "ONNX")


def test_weights_of_bytes_are_read_where_they_are() -> None:
    content = network().SerializeToString()
    model = read(content)
    assert is_lazy(model.graph.initializers["weight"])
    assert serialized(model) == serialized(read(network()))
    assert beside(model) == 0


def test_bytes_that_are_cut_short_are_refused() -> None:
    with pytest.raises(ModelError, match="cut short"):
        read(network().SerializeToString()[:-30])


def test_integers_of_four_bits_in_bytes() -> None:
    model = network()
    model.graph.initializer.append(
        onnx.helper.make_tensor("four", onnx.TensorProto.INT4, [40], [1, -2] * 20)
    )
    found = read(model.SerializeToString()).graph.initializers["four"].const_value
    assert found is not None and found.numpy().astype(int).tolist() == [1, -2] * 20
