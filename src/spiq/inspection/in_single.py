"""Float networks of half or double precision as they are read, to be run beside quantized ones.

So tensors have the names and types that the quantized network was made from; and the runtime has no
convolution for double precision.

A network is read once, and run in more than one form. Its initializers are serialized once for all
of these, since protobuf merges what is concatenated:

    bytes(nodes, inputs, outputs) + bytes(initializers) = bytes of both
    https://protobuf.dev/programming-guides/encoding/#last-one-wins
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import onnx
from google.protobuf.message import (  # type: ignore[import-untyped]
    DecodeError,
    EncodeError,
    Message,
)

from spiq.errors import ModelError
from spiq.io.precision import widened_from
from spiq.io.read import read
from spiq.io.stream import initializers
from spiq.io.told import is_told
from spiq.io.write import serialize
from spiq.passes.single import half_as_single

_KINDS = frozenset({onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16})

_MOST = (1 << 31) - 1
"""Bytes that protobuf reads."""

Source = str | os.PathLike[str] | bytes


@dataclass(frozen=True, eq=False)
class AsRun:
    """A network as it is run, read once.

    Attributes:
        name: What messages call it.
        source: Its path or bytes.
        proto: What they hold, weights included.
        initializers: Those, as part of a file.
    """

    name: str
    source: str | bytes
    proto: onnx.ModelProto
    initializers: bytes

    def light(self) -> onnx.ModelProto:
        """Return a copy without initializers, to be changed and given to :meth:`whole`."""
        copy = onnx.ModelProto()
        _copy(self.proto, copy, but="graph")
        _copy(self.proto.graph, copy.graph, but="initializer")
        return copy

    def whole(self, light: onnx.ModelProto) -> bytes:
        """Return the bytes of a light copy with the initializers.

        Raises:
            ModelError: They are more than 2 GB.
        """
        content: bytes = light.SerializeToString()
        if len(content) + len(self.initializers) > _MOST:
            raise ModelError(f"{self.name}: {_UNSEEN}: it is larger than 2 GB")
        return content + self.initializers


_UNSEEN = "it cannot be read as a model whose tensors can be seen"


def in_single(source: Source, name: str = "the network") -> AsRun:
    """Return a network whose layers compute in single precision, sizes told; else the given one.

    Args:
        source: Path or bytes of the network; one that cannot be quantized is returned, too.
        name: What messages call one that is given as bytes.

    Raises:
        ModelError: It is no network, its data are damaged, or it is larger than 2 GB.
    """
    given: str | bytes = source if isinstance(source, bytes) else os.fspath(source)
    name = name if isinstance(given, bytes) else given
    with _seen(name):
        proto = _loaded(given)
        if _may_differ(proto.graph) and (other := _as_read(given)) is not None:
            given, proto = other, _loaded(other)
        return AsRun(name, given, proto, initializers(proto.graph))


def _may_differ(graph: onnx.GraphProto) -> bool:
    """Return whether a network may be read as another one: of single precision, of told sizes."""
    shapes = (value.type.tensor_type.shape.dim for value in graph.input)
    told = any(len(shape) > 1 and not shape[1].HasField("dim_value") for shape in shapes)
    return told or not _KINDS.isdisjoint(_kinds(graph))


def _as_read(source: str | bytes) -> bytes | None:
    """Return a network as it is read; None where that is the same, or it cannot be quantized."""
    try:
        model = read(source)
        changed = half_as_single(model) or widened_from(model) or is_told(model)
        return serialize(model) if changed else None
    except ModelError:  # such as one that is quantized
        return None


def _loaded(source: str | bytes) -> onnx.ModelProto:
    return (
        onnx.load_from_string(source)
        if isinstance(source, bytes)
        else onnx.load(source, "protobuf")
    )


@contextmanager
def _seen(where: str) -> Iterator[None]:
    """Say of which network it is that its tensors cannot be seen.

    Raises:
        ModelError: That is so.
    """
    try:
        yield
    except (OSError, ValueError, DecodeError, EncodeError, onnx.checker.ValidationError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{where}: {_UNSEEN}: {reason}") from error


def _copy(source: Message, target: Message, *, but: str) -> None:
    """Copy all fields of a message but one."""
    for field, value in source.ListFields():
        if field.name == but:
            continue
        if hasattr(value, "MergeFrom"):  # a message, or a list
            getattr(target, field.name).MergeFrom(value)
        else:
            setattr(target, field.name, value)


def _kinds(graph: onnx.GraphProto) -> Iterator[int]:
    """Yield the types of what a network holds."""
    yield from (tensor.data_type for tensor in graph.initializer)
    for node in graph.node:
        yield from (one.t.data_type for one in node.attribute if one.HasField("t"))
