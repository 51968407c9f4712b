"""Write a network that one protobuf message cannot hold: weights go to a file beside the model.

Two files cannot change at once, so that of the weights is named after its content,
``<model>.<hash>.data``:

    new data      appears under its own name; the old model and its data are as they were
    model         takes the place of the old one, and refers to the new data     (the one moment)
    old data      goes

A note, which is a temporary file, lists both data files as long as this takes. Where a process is
killed on the way, whoever tidies the folder next removes those that the model does not refer to.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from spiq.graph.skeleton import swapped
from spiq.io.atomic import pending, temporary_name

Encode = Callable[[ir.Model], bytes]

_INLINE = 1024
"""Bytes up to which a weight stays in the model: runtimes want shapes and axes there."""

_ALIGNMENT = 64
_OURS = re.compile(r"[^/\\]+\.[0-9a-f]{16}\.data")
_NOTE = "unfinished"


def write_large(model: ir.Model, target: Path, encode: Encode) -> None:
    """Write a network and its data.

    Args:
        model: The network; it is left as it is.
        target: The file of the model.
        encode: Serializes a model.

    Raises:
        OSError: A file cannot be written; what was there is unchanged.
    """
    folder = target.parent
    with pending(folder) as data, pending(folder) as file:
        name = f"{target.name}.{_write_data(model, data.stream)}.data"
        with _referring(model, name):
            file.stream.write(encode(model))
        old, placed = _references(target) - {name}, folder / name
        with _noted(target, {name, *old}):
            was_there = placed.exists()
            try:
                data.place(placed)
                file.place(target)
            except BaseException:
                if not was_there:
                    placed.unlink(missing_ok=True)
                raise
            _remove(folder, old)


def undo(folder: Path) -> Callable[[bytes], None]:
    """Return what removes the data files of a note that a killed process left in a folder."""

    def finish(content: bytes) -> None:
        try:
            target, names = json.loads(content)[_NOTE]
            named = {name for name in names if _OURS.fullmatch(name)}
        except (ValueError, LookupError, TypeError):
            return  # a temporary file of another kind
        _remove(folder, named - _references(folder / Path(target).name))

    return finish


def _write_data(model: ir.Model, stream: BinaryIO) -> str:
    """Write the large weights one after another; return the start of their hash."""
    digest = hashlib.sha256()
    for tensor, start in _places(model):
        for part in (bytes(start - stream.tell()), tensor.tobytes()):
            stream.write(part)
            digest.update(part)
    return digest.hexdigest()[:16]


def _places(model: ir.Model) -> Iterator[tuple[ir.TensorProtocol, int]]:
    end = 0
    for tensor in map(_large, model.graph.initializers.values()):
        if tensor is not None:
            start = end + -end % _ALIGNMENT
            yield tensor, start
            end = start + tensor.nbytes


def _large(value: ir.Value) -> ir.TensorProtocol | None:
    tensor = value.const_value
    if tensor is None or tensor.nbytes <= _INLINE or tensor.dtype == ir.DataType.STRING:
        return None
    return tensor


@contextmanager
def _referring(model: ir.Model, location: str) -> Iterator[None]:
    """Let the large weights be references to a data file for a while."""
    values = [value for value in model.graph.initializers.values() if _large(value) is not None]
    moved = {
        value: ir.ExternalTensor(
            location,
            start,
            tensor.nbytes,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=value.name or "",
        )
        for value, (tensor, start) in zip(values, _places(model), strict=True)
    }
    with swapped(moved):
        yield


def _references(model: Path) -> set[str]:
    """Return the data files of ours that a model refers to; none where there is no such model."""
    try:
        proto = onnx.load(model, "protobuf", load_external_data=False)
    except (OSError, DecodeError):
        return set()
    entries = (entry for tensor in proto.graph.initializer for entry in tensor.external_data)
    return {e.value for e in entries if e.key == "location" and _OURS.fullmatch(e.value)}


@contextmanager
def _noted(target: Path, names: Iterable[str]) -> Iterator[None]:
    name = temporary_name(target.parent)
    with pending(target.parent) as note:
        note.stream.write(json.dumps({_NOTE: [target.name, sorted(names)]}).encode())
        try:
            note.place(name)
            yield
        finally:
            with suppress(OSError):
                name.unlink(missing_ok=True)


def _remove(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
