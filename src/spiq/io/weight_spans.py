"""Weights taken out of a serialized ONNX model before protobuf parses it.

Protobuf copies every tensor when it parses and once more whenever one is looked at. A weight is a
length-delimited field at a known place, so it is cut out of the bytes instead, and read straight
into an array of its own:

    ModelProto.graph (7) -> GraphProto.initializer (5) -> TensorProto.raw_data (9)
                                                      or TensorProto.float_data (4), packed

What is left is the same model with empty weights; its size is that of the graph.
Source: https://protobuf.dev/programming-guides/encoding and onnx.proto.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass

Buffer = bytes | mmap.mmap

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _FLOAT_DATA, _NAME, _RAW_DATA = 1, 2, 4, 8, 9
_LEAST = 1024
"""Bytes from which a weight is cut out. Smaller ones may hold shapes, which inference needs."""

_WHOLE_BYTES = frozenset({1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 16})
"""TensorProto.DataType of the numbers that take one or more whole bytes."""


@dataclass(frozen=True)
class Span:
    """Where the bytes of a weight lie in the serialized model."""

    offset: int
    length: int


@dataclass(frozen=True)
class _Field:
    number: int
    wire: int
    start: int
    body: int
    stop: int


def split(data: Buffer) -> tuple[bytes, dict[str, Span]]:
    """Cut the large weights out of a serialized model.

    Args:
        data: A serialized ``ModelProto``.

    Returns:
        The serialized model without those weights, and where they lie in ``data``, by name.

    Raises:
        ValueError: The bytes are not a protobuf message, or end too early.
    """
    parts: list[bytes] = []
    spans: dict[str, Span] = {}
    for field in _fields(data, 0, len(data)):
        if (field.number, field.wire) == (_GRAPH, _BYTES):
            parts.append(_framed(_GRAPH, _split_graph(data, field, spans)))
        else:
            parts.append(data[field.start : field.stop])
    return b"".join(parts), spans


def _split_graph(data: Buffer, graph: _Field, spans: dict[str, Span]) -> bytes:
    parts: list[bytes] = []
    kept = graph.body
    for field in _fields(data, graph.body, graph.stop):
        if (field.number, field.wire) != (_INITIALIZER, _BYTES):
            continue
        if field.stop - field.body < _LEAST:
            continue
        weight = _weight(data, field)
        if weight is None:
            continue
        name, payload = weight
        spans[name] = Span(payload.body, payload.stop - payload.body)
        shell = data[field.body : payload.start] + data[payload.stop : field.stop]
        parts += [data[kept : field.start], _framed(_INITIALIZER, shell)]
        kept = field.stop
    return b"".join([*parts, data[kept : graph.stop]])


def _weight(data: Buffer, tensor: _Field) -> tuple[str, _Field] | None:
    """Return the name and the payload of a tensor, or None where it must stay as it is."""
    name, data_type = "", 0
    payloads: list[_Field] = []
    for field in _fields(data, tensor.body, tensor.stop):
        if field.number == _NAME and field.wire == _BYTES:
            name = data[field.body : field.stop].decode("utf-8", "replace")
        elif field.number == _DATA_TYPE and field.wire == _VARINT:
            data_type, _ = _varint(data, field.body, field.stop)
        elif field.number in (_RAW_DATA, _FLOAT_DATA):
            payloads.append(field)
    if not name or data_type not in _WHOLE_BYTES or len(payloads) != 1:
        return None
    payload = payloads[0]
    is_float_data = payload.number == _FLOAT_DATA
    if payload.wire != _BYTES or payload.stop - payload.body < _LEAST:
        return None
    return None if is_float_data and data_type != 1 else (name, payload)


def _fields(data: Buffer, start: int, end: int) -> Iterator[_Field]:
    at = start
    while at < end:
        key, body = _varint(data, at, end)
        wire = key & 7
        if wire == _VARINT:
            _, stop = _varint(data, body, end)
        elif wire == _BYTES:
            length, body = _varint(data, body, end)
            stop = body + length
        elif wire in (_FIXED64, _FIXED32):
            stop = body + (8 if wire == _FIXED64 else 4)
        else:
            raise ValueError(f"unknown wire type {wire} at byte {at}")
        if stop > end:
            raise ValueError(f"a field at byte {at} reaches {stop - end} bytes beyond the end")
        yield _Field(key >> 3, wire, at, body, stop)
        at = stop


def _varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"no number ends at byte {at}")


def _framed(number: int, content: bytes) -> bytes:
    size, header = len(content), bytearray([number << 3 | _BYTES])
    while size >= 0x80:
        header.append(size & 0x7F | 0x80)
        size >>= 7
    header.append(size)
    return bytes(header) + content
