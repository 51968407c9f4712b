"""A file of gigabytes whose weights lie inside of it: its message without them.

Protobuf would hold all of the file in memory, and the message once more. A message is a list of
fields, each of which says how long it is; so the file is gone through from field to field, and what
holds a weight's numbers (``raw_data``, or ``float_data`` of float32, which are the same bytes) is
left where it is. In its place stands a reference, as ONNX has it for weights beside the file, to
``INSIDE``, which is the file itself. Bytes that were handed over are gone through the same way.

Source: https://protobuf.dev/programming-guides/encoding/ and onnx.proto.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from spiq.io.stream import tag

Content = bytes | mmap.mmap

INSIDE = "spiq:this file"
"""The location of weights that are in the file of the model, or in its bytes."""

_LEFT_OUT = 1 << 16
"""Bytes from which on a weight is left where it is."""

_VARINT, _EIGHT, _LENGTH_FOLLOWS, _FOUR = 0, 1, 2, 5
"""Wire types."""

_GRAPH = onnx.ModelProto.GRAPH_FIELD_NUMBER
_WEIGHT = onnx.GraphProto.INITIALIZER_FIELD_NUMBER
_RAW = onnx.TensorProto.RAW_DATA_FIELD_NUMBER
_FLOATS = onnx.TensorProto.FLOAT_DATA_FIELD_NUMBER


@dataclass(frozen=True)
class Field:
    """A field of a message: its number, wire type, and where it begins, its content, and ends."""

    number: int
    kind: int
    start: int
    content: int
    end: int


def outline(path: Path) -> onnx.ModelProto | None:
    """Return the model of a file, its large weights references to the file.

    Args:
        path: The file.

    Returns:
        The model; None where the file is not made of such fields.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return outline_of(data)


def outline_of(data: Content) -> onnx.ModelProto | None:
    """Return the same for what a file holds, or would hold."""
    try:
        content = b"".join(_model(data))
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except (DecodeError, IndexError, ValueError):
        return None
    return model


def _model(data: Content) -> Iterator[bytes]:
    for field in fields(data, 0, len(data)):
        if field.number == _GRAPH and field.kind == _LENGTH_FOLLOWS:
            inside = b"".join(_graph(data, field))
            yield tag(_GRAPH, len(inside)) + inside
        else:
            yield data[field.start : field.end]


def _graph(data: Content, graph: Field) -> Iterator[bytes]:
    for field in fields(data, graph.content, graph.end):
        is_weight = field.number == _WEIGHT and field.kind == _LENGTH_FOLLOWS
        if is_weight and field.end - field.content >= _LEFT_OUT:
            weight = _weight(data, field)
            yield tag(_WEIGHT, len(weight)) + weight
        else:
            yield data[field.start : field.end]


def _weight(data: Content, weight: Field) -> bytes:
    """Return the message of a weight, its numbers left out where they are many."""
    parts = list(fields(data, weight.content, weight.end))
    numbers = [field for field in parts if field.number in (_RAW, _FLOATS)]
    if len(numbers) != 1 or numbers[0].kind != _LENGTH_FOLLOWS:
        return data[weight.content : weight.end]
    (there,) = numbers
    head = onnx.TensorProto.FromString(
        b"".join(data[field.start : field.end] for field in parts if field is not there)
    )
    if there.number == _FLOATS and head.data_type != onnx.TensorProto.FLOAT:
        return data[weight.content : weight.end]
    head.data_location = onnx.TensorProto.EXTERNAL
    length = there.end - there.content
    for key, value in (("location", INSIDE), ("offset", there.content), ("length", length)):
        head.external_data.add(key=key, value=str(value))
    content: bytes = head.SerializeToString()
    return content


def fields(data: Content, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of a message that lies from ``start`` to ``end``.

    Raises:
        ValueError: It is none.
        IndexError: The file ends inside of it.
    """
    while start < end:
        key, content = _varint(data, start)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            _, after = _varint(data, content)
        elif kind in (_EIGHT, _FOUR):
            after = content + (8 if kind == _EIGHT else 4)
        elif kind == _LENGTH_FOLLOWS:
            length, content = _varint(data, content)
            after = content + length
        else:
            raise ValueError(f"wire type {kind}")
        if after > end or not number:
            raise ValueError("a field that ends behind its message")
        yield Field(number, kind, start, content, after)
        start = after


def _varint(data: Content, start: int) -> tuple[int, int]:
    """Return the number at ``start``, and where it ends."""
    number, shift = 0, 0
    while shift < _LONGEST:
        byte = data[start]
        start += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, start
        shift += 7
    raise ValueError("a number of more than 64 bits")


_LONGEST = 70
"""Bits of a number of ten bytes, which is the longest."""
