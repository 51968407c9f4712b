"""The bytes of a model in pieces are those of the model as a whole."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx_text import network

from spiq.io.read import read
from spiq.io.stream import varint
from spiq.io.write import serialize, serialized, size_of


def with_text(model: ir.Model) -> ir.Model:
    model.metadata_props["a"] = "b"
    model.graph.doc_string = "about"
    model.graph.initializers["weight"].const_value.doc_string = ""
    return model


@pytest.mark.parametrize("change", [lambda model: model, with_text])
def test_pieces_are_the_whole(change) -> None:  # type: ignore[no-untyped-def]
    model = change(read(network()))
    assert b"".join(serialized(model)) == serialize(model)
    assert size_of(model) == len(serialize(model))


@pytest.mark.parametrize("count", [3, 255, 256, 257, 1 << 14, 1 << 15])
def test_weights_of_any_length(count: int) -> None:
    """Lengths take one byte, two or three; weights above a kilobyte go a way of their own."""
    model = read(network())
    array = np.arange(count, dtype=np.float32)
    value = ir.Value(name="more", const_value=ir.Tensor(array, name="more"))
    model.graph.initializers.add(value)
    content = b"".join(serialized(model))
    assert content == serialize(model)
    found = {t.name: t for t in onnx.load_from_string(content).graph.initializer}["more"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(found), array)


@pytest.mark.parametrize(("number", "coded"), [(0, b"\0"), (127, b"\x7f"), (300, b"\xac\x02")])
def test_numbers_as_protobuf_writes_them(number: int, coded: bytes) -> None:
    assert varint(number) == coded
