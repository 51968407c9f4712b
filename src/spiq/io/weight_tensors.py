"""Weights as arrays: read from a file, from bytes, or from the external files of a model.

External data may lie only in the folder of the model or below it, as ONNX asks: a model from the
internet must not read other files of the machine. Sizes are checked before anything is read.
Arrays are read-only, and aligned to their type: numpy copies others on each use.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from spiq.errors import ModelError
from spiq.io.weight_spans import Span

Bytes = npt.NDArray[np.uint8]
Fetch = Callable[[Span], Bytes]


def from_file(file: BinaryIO) -> Fetch:
    """Return a function that reads a span of an open file into an array of its own."""

    def fetch(span: Span) -> Bytes:
        file.seek(span.offset)
        return np.fromfile(file, np.uint8, span.length)

    return fetch


def from_bytes(data: bytes) -> Fetch:
    """Return a function that views a span of bytes."""
    return lambda span: np.frombuffer(data, np.uint8, span.length, span.offset)


def tensor(
    name: str, raw: Bytes, dtype: ir.DataType, shape: tuple[int, ...], *, where: str
) -> ir.TensorProtocol:
    """Make a tensor of its bytes.

    Raises:
        ModelError: The shape takes another number of bytes.
    """
    wanted = math.prod(shape) * dtype.itemsize
    if raw.size != wanted:
        raise ModelError(
            f"{where}: tensor {name!r} has {raw.size} bytes, but {dtype.name} of shape "
            f"{list(shape)} takes {wanted}: the file is damaged, download or export it again"
        )
    numbers = dtype.numpy()
    if raw.ctypes.data % numbers.itemsize:
        raw = raw.copy()
    array = raw.view(numbers).reshape(shape)
    array.flags.writeable = False
    return ir.Tensor(array, dtype=dtype, name=name)


def in_memory(value: ir.TensorProtocol, name: str, *, where: str) -> ir.TensorProtocol:
    """Return an own tensor object over the numbers of another one, which stays as it is.

    Raises:
        ModelError: The numbers do not fit the shape or the type.
    """
    try:
        if isinstance(value, ir.StringTensor):
            value.numpy()  # it puts texts into the shape, or cannot
            return value
        # A message without numbers reads as zeros, so its bytes are counted.
        if isinstance(value, ir.serde.TensorProtoTensor) and len(value.tobytes()) != value.nbytes:
            raise ValueError(f"shape {value.shape} takes {value.nbytes} bytes")
        return ir.Tensor(value.numpy(), dtype=value.dtype, name=name)
    except (AssertionError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{where}: tensor {name!r} has other values than its shape and type say ({reason}): "
            "the file is damaged, download or export it again"
        ) from error


def cut_out(
    proto: onnx.ModelProto, spans: dict[str, Span], fetch: Fetch, *, where: str
) -> dict[str, ir.TensorProtocol]:
    """Read the weights that :func:`spiq.io.weight_spans.split` cut out of a model."""
    return {
        shell.name: tensor(
            shell.name,
            fetch(spans[shell.name]),
            ir.DataType(shell.data_type),
            tuple(shell.dims),
            where=where,
        )
        for shell in proto.graph.initializer
        if shell.name in spans
    }


class ExternalFiles:
    """The external data files of one model, each mapped once."""

    def __init__(self, folder: Path | None, *, where: str) -> None:
        self._folder = folder
        self._where = where
        self._mapped: dict[Path, Bytes] = {}

    def load(self, external: ir.ExternalTensor, name: str) -> ir.TensorProtocol:
        """Return the tensor with its numbers mapped from the file.

        Raises:
            ModelError: The file is missing, outside the model's folder, or too short.
        """
        try:
            data = self._map(external, name)
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._refuse(external, name, f"it cannot be read ({reason})", "check its rights")
        if external.dtype in (ir.DataType.UNDEFINED, ir.DataType.STRING):
            self._refuse(external, name, "its type is not one of numbers", "export both again")
        offset = external.offset or 0
        length = external.nbytes if external.length is None else external.length
        if offset < 0 or length < 0 or offset + length > data.size:
            self._refuse(
                external,
                name,
                f"bytes {offset} to {offset + length} lie outside the file, which has {data.size}",
                "it belongs to another model or is incomplete, download or export both again",
            )
        raw = data[offset : offset + length]
        shape = tuple(int(size) for size in external.shape.numpy())
        if external.dtype.itemsize < 1:  # several numbers in a byte
            packed = onnx.TensorProto(
                name=name, dims=shape, data_type=external.dtype.value, raw_data=raw.tobytes()
            )
            return in_memory(ir.serde.TensorProtoTensor(packed), name, where=self._where)
        return tensor(name, raw, external.dtype, shape, where=self._where)

    def _map(self, external: ir.ExternalTensor, name: str) -> Bytes:
        path = self._path(external, name)
        if path not in self._mapped:
            empty = path.stat().st_size == 0
            data = np.empty(0, np.uint8) if empty else np.memmap(path, np.uint8, "r")
            self._mapped[path] = np.asarray(data)
        return self._mapped[path]

    def _path(self, external: ir.ExternalTensor, name: str) -> Path:
        folder = self._folder
        if folder is None:
            self._refuse(
                external,
                name,
                "the folder of the model is not known",
                "give the path of the model file instead of its content",
            )
        location = Path(external.location)
        path = (folder / location).resolve()
        if location.is_absolute() or not path.is_relative_to(folder.resolve()):
            self._refuse(
                external,
                name,
                "that lies outside the folder of the model",
                "copy the file beside the model and export it with a relative location",
            )
        if not path.exists():
            self._refuse(external, name, "there is no such file", "copy it beside the model")
        if not path.is_file():  # a pipe would be waited for, and a device has no end
            self._refuse(external, name, "that is no regular file", "put the data file there")
        return path

    def _refuse(self, external: ir.ExternalTensor, name: str, problem: str, todo: str) -> NoReturn:
        raise ModelError(
            f"{self._where}: tensor {name!r} has its data in {str(external.location)!r}, but "
            f"{problem}: {todo}"
        )
