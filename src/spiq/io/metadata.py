"""What a model's file says of itself by name, read without its graph, whatever size that has."""

import mmap
import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from spiq.io.outline import Content, fields

_METADATA = onnx.ModelProto.METADATA_PROPS_FIELD_NUMBER


def metadata(source: str | os.PathLike[str] | bytes) -> dict[str, str]:
    """Return the metadata of a model by key: nothing of what is no model, or cannot be read.

    Args:
        source: Path of an ONNX file, or its content.
    """
    try:
        if isinstance(source, bytes):
            return _entries(source)
        path = Path(source)
        if not path.is_file():  # a pipe would be waited for
            return {}
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _entries(data)
    except (DecodeError, IndexError, OSError, ValueError):
        return {}


def _entries(data: Content) -> dict[str, str]:
    found = [field for field in fields(data, 0, len(data)) if field.number == _METADATA]
    entries = (
        onnx.StringStringEntryProto.FromString(data[field.content : field.end]) for field in found
    )
    return {_text(entry.key): _text(entry.value) for entry in entries}


def _text(said: str | bytes) -> str:
    """Return a text; protobuf hands over as bytes what is none."""
    return said if isinstance(said, str) else said.decode(errors="replace")
