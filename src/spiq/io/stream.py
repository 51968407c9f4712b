"""The bytes of a model, one weight after the other, so that they are never in memory together.

Protobuf writes fields in the order of their numbers, and in front of a message its length. So the
bytes of a model are

    fields before the graph | tag, length | fields before the weights | weights | fields behind them
    | fields behind the graph

where each weight is tag, length and the bytes of its own message.
"""

from collections.abc import Iterator, Sequence

import onnx
import onnx_ir as ir
from google.protobuf.message import Message  # type: ignore[import-untyped]

_GRAPH = onnx.ModelProto.GRAPH_FIELD_NUMBER
_WEIGHTS = onnx.GraphProto.INITIALIZER_FIELD_NUMBER
_LENGTH_FOLLOWS = 2
"""The wire type of messages."""


def in_pieces(proto: onnx.ModelProto, weights: Sequence[ir.TensorProtocol]) -> Iterator[bytes]:
    """Yield the bytes of a model.

    Args:
        proto: The model without its weights.
        weights: They, in order.
    """
    begun, leads, ended = _framed(proto, weights)
    yield begun
    for lead, weight in zip(leads, weights, strict=True):
        yield lead
        if _is_long(weight):
            yield weight.tobytes()
    yield ended


def length(proto: onnx.ModelProto, weights: Sequence[ir.TensorProtocol]) -> int:
    """Return how many bytes that are."""
    begun, leads, ended = _framed(proto, weights)
    numbers = sum(weight.nbytes for weight in weights if _is_long(weight))
    return len(begun) + sum(map(len, leads)) + numbers + len(ended)


def _framed(
    proto: onnx.ModelProto, weights: Sequence[ir.TensorProtocol]
) -> tuple[bytes, list[bytes], bytes]:
    """Return what is before all weights, in front of the numbers of each, and behind all."""
    front, back = _around(proto.graph, _WEIGHTS)
    before, after = _around(proto, _GRAPH)
    heads = [_head(weight) for weight in weights]
    sizes = [
        len(head) + weight.nbytes * _is_long(weight)
        for head, weight in zip(heads, weights, strict=True)
    ]
    leads = [tag(_WEIGHTS, size) + head for size, head in zip(sizes, heads, strict=True)]
    inside = len(front) + len(back) + sum(map(len, leads)) - sum(map(len, heads)) + sum(sizes)
    return before + tag(_GRAPH, inside) + front, leads, back + after


def initializers(graph: onnx.GraphProto) -> bytes:
    """Return the bytes of a model that has the initializers of a graph, and nothing else."""
    parts = list[bytes]()
    for weight in graph.initializer:
        own = weight.SerializeToString()
        parts += tag(_WEIGHTS, len(own)), own
    return b"".join((tag(_GRAPH, sum(map(len, parts))), *parts))


def _is_long(weight: ir.TensorProtocol) -> bool:
    return weight.nbytes > _LONG and weight.dtype != ir.DataType.STRING


_LONG = 1024
"""Bytes from which on a weight is not put into a message of its own first."""


def _head(weight: ir.TensorProtocol) -> bytes:
    """Return the message of a weight: of a long one up to its numbers, which come last."""
    if not _is_long(weight):
        whole: bytes = ir.serde.serialize_tensor(weight).SerializeToString(deterministic=True)
        return whole
    head = onnx.TensorProto(name=weight.name, data_type=weight.dtype.value)
    head.dims.extend(weight.shape.numpy())
    begun: bytes = head.SerializeToString(deterministic=True)
    return begun + tag(onnx.TensorProto.RAW_DATA_FIELD_NUMBER, weight.nbytes)


def _around(message: Message, number: int) -> tuple[bytes, bytes]:
    """Return the bytes of the fields before and behind one, which is left out."""
    front, back = type(message)(), type(message)()
    front.CopyFrom(message)
    back.CopyFrom(message)
    for field in message.DESCRIPTOR.fields:
        if field.number >= number:
            front.ClearField(field.name)
        if field.number <= number:
            back.ClearField(field.name)
    return front.SerializeToString(deterministic=True), back.SerializeToString(deterministic=True)


def tag(number: int, length: int) -> bytes:
    """Return what stands in front of a message of so many bytes that is field ``number``."""
    return varint(number << 3 | _LENGTH_FOLLOWS) + varint(length)


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it: 7 bits to a byte, the lowest first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
