"""Write a network: all of it, or nothing.

A file takes the place of the old one when it is whole, so that no reader meets half of it and a
failure leaves what was there, see :mod:`spiq.io.atomic`. Above 2 GB, which protobuf cannot
hold, the weights go to a file beside the model, see :mod:`spiq.io.external`.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

from spiq.errors import ModelError, OutputError
from spiq.graph.skeleton import PLAIN_CONSTANTS, swapped
from spiq.io.atomic import Pending, pending, tidy
from spiq.io.external import undo, write_large
from spiq.io.stream import in_pieces, length

Network = ir.Model | onnx.ModelProto | bytes

_NOTHING = np.empty(0, np.float32)

_LIMIT = 2_000_000_000
"""Bytes of weights above which they go to a file of their own; protobuf ends at 2**31 - 1."""

_TODO = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose a folder that can be written to",
    errno.EPERM: "choose a folder that can be written to",
}


def write(
    model: Network,
    path: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | None = None,
    force: bool = False,
    beside: Mapping[str, bytes] | None = None,
) -> None:
    """Write a network to a file.

    Args:
        model: The network; it is left as it is. Bytes are written as they are.
        path: The ONNX file to write. Where it is a link, the file that it leads to is replaced.
        source: The file that the network was read from, which is not overwritten by accident.
        force: Overwrite ``source`` all the same.
        beside: Other files that are to be there if the network is, such as its plan, with their
            contents.

    Raises:
        OutputError: The file cannot be written; what was there before is unchanged, but for a file
            beside it where the message says so.
        ModelError: The network cannot be serialized.
    """
    target = check_output(path, source=source, force=force)
    tidy(target.parent, undo(target.parent))
    too_large = _too_large(model)
    contents: dict[str | os.PathLike[str], Iterable[bytes]] = {}
    contents.update({name: (content,) for name, content in (beside or {}).items()})
    targets = {name: check_output(name, source=source) for name in contents} | {path: target}
    if too_large is None:
        contents[path] = (model,) if isinstance(model, bytes) else serialized(model)
    with ExitStack() as opened:
        _all_placed([_written(n, targets[n], text, opened) for n, text in contents.items()])
    if too_large is not None:
        with _refused(path):
            write_large(too_large, target, lambda model: _encoded(message(model)))


def serialize(model: ir.Model | onnx.ModelProto) -> bytes:
    """Return the bytes of a network: always the same ones for the same network.

    Raises:
        ModelError: The network keeps weights in external files, or is larger than 2 GB.
    """
    _no_external(model)
    return _encoded(message(model))


def serialized(model: ir.Model | onnx.ModelProto) -> Iterator[bytes]:
    """Yield what :func:`serialize` returns, one large weight after the other.

    Raises:
        ModelError: As there.
    """
    _no_external(model)
    if isinstance(model, onnx.ModelProto):
        yield _encoded(model)
        return
    yield from in_pieces(*_apart(model))


def _apart(model: ir.Model) -> tuple[onnx.ModelProto, list[ir.TensorProtocol]]:
    """Return the message of a model without its weights, and them."""
    held = {
        v: v.const_value for v in model.graph.initializers.values() if v.const_value is not None
    }
    with swapped({value: ir.Tensor(_NOTHING, name=value.name) for value in held}):
        proto = message(model)
    del proto.graph.initializer[:]
    return proto, list(held.values())


def size_of(model: bytes | ir.Model) -> int:
    """Return the bytes of a network; weights that are long are not looked at."""
    if isinstance(model, bytes):
        return len(model)
    proto, weights = _apart(model)
    return length(proto, weights)


def check_output(
    path: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Path:
    """Check that a network can be written to a path, before the work that it takes to make it.

    Args:
        path: The ONNX file to write.
        source: The file that the network was read from.
        force: Allow to overwrite ``source``.

    Returns:
        The file itself, links followed.

    Raises:
        OutputError: It cannot be written there.
    """
    where = repr(os.fspath(path))
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir() or not os.path.basename(os.fspath(path)):
            raise OutputError(f"{where} is a folder: give the name of a file in it")
        if not target.parent.is_dir():
            raise OutputError(
                f"{where}: there is no folder {str(target.parent)!r}: create it first"
            )
        if target.exists() and not target.is_file():
            raise OutputError(f"{where} is not a regular file: choose another name")
        if target.exists() and not (_writable(target) and os.access(target, os.W_OK)):
            raise OutputError(f"{where} is read-only: choose another name, or allow writing it")
        if source is not None and not force and target.exists() and _same(target, source):
            raise OutputError(
                f"{where} is the model that is read: choose another name, or force overwriting it"
            )
        with pending(target.parent):  # whether its folder can be written to
            pass
    except (OSError, ValueError) as error:
        raise _failure(path, error) from error
    return target


def _writable(target: Path) -> bool:
    """Return whether anybody may write the file: for root, the system does not ask."""
    return bool(target.stat().st_mode & 0o222)


def _same(target: Path, source: str | os.PathLike[str]) -> bool:
    return os.path.exists(source) and os.path.samefile(target, source)


def message(model: ir.Model | onnx.ModelProto) -> onnx.ModelProto:
    """Return a network as the message that :func:`serialize` encodes, to be changed first.

    Raises:
        ModelError: The network cannot be serialized.
    """
    if isinstance(model, onnx.ModelProto):
        return model
    try:
        proto = ir.serde.serialize_model(model)
    except ir.serde.SerdeError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ModelError(
            f"the network to write cannot be serialized ({reason}): check the graph"
        ) from error
    proto.ir_version = max(proto.ir_version, PLAIN_CONSTANTS)
    return proto


def _no_external(model: ir.Model | onnx.ModelProto) -> None:
    """Refuse references to files, which would lead elsewhere from another folder."""
    if isinstance(model, onnx.ModelProto):
        weights = model.graph.initializer
        names = [w.name for w in weights if w.data_location == onnx.TensorProto.EXTERNAL]
    else:
        values = model.graph.initializers.items()
        names = [name for name, v in values if isinstance(v.const_value, ir.ExternalTensor)]
    if names:
        raise ModelError(
            f"the network to write keeps tensor {names[0]!r} in an external file: "
            "read it by its path first"
        )


def _encoded(proto: onnx.ModelProto) -> bytes:
    try:
        content: bytes = proto.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise ModelError(
            "the network to write is larger than 2 GB: write it to a file, with external data"
        ) from error
    return content


def _too_large(model: Network) -> ir.Model | None:
    """Return the graph of a network that one protobuf message cannot hold, else None."""
    if isinstance(model, bytes):
        return None
    _no_external(model)
    if isinstance(model, onnx.ModelProto):
        return ir.serde.deserialize_model(model) if model.ByteSize() > _LIMIT else None
    tensors = (value.const_value for value in model.graph.initializers.values())
    size = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    return model if size > _LIMIT else None


@dataclass(frozen=True)
class _Written:
    """A file that is whole, and has no name yet."""

    name: str | os.PathLike[str]
    target: Path
    file: Pending


def _written(
    name: str | os.PathLike[str], target: Path, content: Iterable[bytes], opened: ExitStack
) -> _Written:
    """Write a file that gets its name later: from then on, no lack of space stops it."""
    with _refused(name):
        file = opened.enter_context(pending(target.parent))
        for part in content:
            file.stream.write(part)
        file.stream.flush()
        os.fsync(file.stream.fileno())
    return _Written(name, target, file)


def _all_placed(files: Sequence[_Written]) -> None:
    """Give files their names, one after the other."""
    for number, written in enumerate(files):
        try:
            with _refused(written.name):
                written.file.place(written.target)
        except OutputError as error:
            done = ", ".join(repr(os.fspath(other.name)) for other in files[:number])
            raise OutputError(f"{error} ({done} is written)" if done else str(error)) from error


@contextmanager
def _refused(path: str | os.PathLike[str]) -> Iterator[None]:
    """Speak of a file that cannot be written."""
    try:
        yield
    except OSError as error:
        raise _failure(path, error) from error


def _failure(path: str | os.PathLike[str], error: OSError | ValueError) -> OutputError:
    code = error.errno if isinstance(error, OSError) else None
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    todo = _TODO.get(code or 0, "choose another file")
    return OutputError(f"{os.fspath(path)!r} cannot be written: {reason}: {todo}")
