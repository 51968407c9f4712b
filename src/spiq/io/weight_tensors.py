"""Weights as arrays, read-only: of a message, or of the external files or bytes of a model.

External data may lie only in the folder of the model or below it, as ONNX asks: a model from the
internet must not read other files of the machine. Sizes are checked before anything is read.
"""

import math
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from spiq.errors import ModelError
from spiq.graph.mapped import mapped_tensor

_SMALL = 1 << 16
"""Bytes below which a tensor is copied in any case."""


class _Unfit(Exception):
    """What is wrong with external data, and what to do."""


def in_memory(value: ir.TensorProtocol, name: str, *, where: str) -> ir.TensorProtocol:
    """Return an own tensor object over the numbers of another one, which stays as it is.

    Raises:
        ModelError: The numbers do not fit the shape or the type.
    """
    try:
        if isinstance(value, ir.StringTensor):
            value.numpy()  # it puts texts into the shape, or cannot
            return value
        array = _of_message(value) if isinstance(value, ir.serde.TensorProtoTensor) else None
        array = value.numpy().view() if array is None else array
        array.flags.writeable = False
        return ir.Tensor(array, dtype=value.dtype, name=name)
    except (AssertionError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{where}: tensor {name!r} has other values than its shape and type say ({reason}): "
            "the file is damaged, download or export it again"
        ) from error


def _of_message(value: ir.serde.TensorProtoTensor) -> npt.NDArray[np.generic] | None:
    """Return the numbers of a message, copied once; None where several share a byte."""
    raw = value.tobytes()
    if len(raw) != value.nbytes:  # a message without numbers would read as zeros
        raise ValueError(f"{len(raw)} bytes in place of {value.nbytes} bytes")
    if value.dtype.itemsize < 1:
        return None
    return np.frombuffer(raw, value.dtype.numpy()).reshape(value.shape.numpy())


def external(
    value: ir.ExternalTensor, name: str, *, folder: Path | None, where: str, mapped: bool = False
) -> ir.TensorProtocol:
    """Read a tensor from the file that holds its numbers.

    Args:
        value: Says where they lie.
        name: Of the tensor.
        folder: That of the model; None where it is not known.
        where: The model's name for messages.
        mapped: Read it from its file each time that it is looked at, which must not change then;
            otherwise it is copied.

    Raises:
        ModelError: The file is missing, outside the model's folder, or too short.
    """
    try:
        path = _place(str(value.location), folder)
        _check_size(value, path.stat().st_size)
        if mapped and value.nbytes >= _SMALL and value.dtype.itemsize >= 1:
            return mapped_tensor(path, value, name)
        found = ir.ExternalTensor(
            path, value.offset, None, value.dtype, shape=value.shape, name=name, base_dir=""
        )
        array = np.array(found.numpy())  # a mapped file would change with its file
    except (_Unfit, OSError, RuntimeError, ValueError) as error:
        reason = str(error)
        if not isinstance(error, _Unfit):
            text = getattr(error, "strerror", None) or reason
            reason = f"it cannot be read ({text}): check its name and rights"
        raise ModelError(
            f"{where}: tensor {name!r} has its data in {str(value.location)!r}, but {reason}"
        ) from error
    array.flags.writeable = False
    return ir.Tensor(array, dtype=value.dtype, name=name)


def inside(value: ir.ExternalTensor, name: str, content: bytes, *, where: str) -> ir.TensorProtocol:
    """Return a tensor that is read from the bytes of its model each time that it is looked at.

    Raises:
        ModelError: It does not fit its shape and type.
    """
    try:
        _check_size(value, len(content))
    except _Unfit as error:
        raise ModelError(f"{where}: tensor {name!r} has its data inside, but {error}") from error
    start, shape, kind = value.offset or 0, value.shape.numpy(), value.dtype.numpy()
    if value.dtype.itemsize < 1:  # of which several share a byte
        own = onnx.TensorProto(name=name, data_type=value.dtype.value, dims=shape)
        own.raw_data = content[start : start + value.nbytes]
        return in_memory(ir.serde.TensorProtoTensor(own), name, where=where)

    def read() -> ir.TensorProtocol:
        flat = np.frombuffer(content, kind, math.prod(shape), start)
        array = np.require(flat.reshape(shape), requirements="A")  # as the runtime wants it
        return ir.Tensor(array, dtype=value.dtype, name=name)

    return ir.LazyTensor(read, dtype=value.dtype, shape=ir.Shape(shape), name=name)


def _place(location: str, folder: Path | None) -> Path:
    if folder is None:
        raise _Unfit(
            "the folder of the model is not known: give the path of the model file instead of its "
            "content"
        )
    path = (folder / location).resolve()
    if os.path.isabs(location) or not path.is_relative_to(folder.resolve()):
        raise _Unfit(
            "that lies outside the folder of the model: copy the file beside the model and export "
            "it with a relative location"
        )
    if not path.exists():
        raise _Unfit("there is no such file: copy it beside the model")
    if not path.is_file():  # a pipe would be waited for, and a device has no end
        raise _Unfit("that is no regular file: put the data file there")
    return path


def _check_size(value: ir.ExternalTensor, available: int) -> None:
    if value.dtype in (ir.DataType.UNDEFINED, ir.DataType.STRING):
        raise _Unfit("its type is not one of numbers: export both again")
    if any(not isinstance(size, int) or size < 0 for size in value.shape):
        raise _Unfit(f"it has the shape {value.shape}: export both again")
    length = value.nbytes if value.length is None else value.length
    start, end = value.offset or 0, (value.offset or 0) + length
    if start < 0 or length < 0 or end > available:
        raise _Unfit(
            f"bytes {start} to {end} lie outside the file, which has {available}: it belongs to "
            "another model or is incomplete, download or export both again"
        )
    if length != value.nbytes:
        raise _Unfit(
            f"has {length} bytes there, and {value.dtype.name} of shape {value.shape} takes "
            f"{value.nbytes}: the file is damaged, download or export both again"
        )
