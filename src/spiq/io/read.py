"""Read a network: a file, bytes, or a model in memory becomes one checked graph.

open      to a message
check     version, structure, every node against its operator      opset, checks, schema
parse     to an onnx_ir graph that owns its weights                weight_tensors
normalize functions inlined, nodes sorted, sizes that the first    functions, told,
          operators tell, opset 13, constants are initializers     opset
          and no inputs
check     not quantized, in inference mode, finite                 checks
infer     shapes and types                                         schema
check     sizes fit, numbers are of a sane size                    sizes, checks
"""

import os
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import (  # type: ignore[import-untyped]
    DecodeError,
    EncodeError,
)
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from spiq.errors import ConfigError, ModelError
from spiq.graph.lazy import is_large
from spiq.graph.skeleton import constants_are_no_inputs, swapped
from spiq.io import (
    archives,
    checks,
    functions,
    limits,
    opset,
    precision,
    schema,
    sizes,
    told,
    weight_tensors,
)
from spiq.io.outline import INSIDE, outline, outline_of

Source = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model

_BESIDE = "spiq.beside"

_OUTLINED = 1 << 24
"""Bytes of a file from which on its weights are copied from it, and not from its message: once, and
not three times, which of 100 MB takes 0.06 s and not 0.19."""

_OTHER_FORMATS = {
    b"version https://git-lfs": "a Git LFS pointer: run `git lfs pull`",
    b"\x89HDF": "an HDF5 (Keras) file: convert the network to ONNX",
    b"\x80": archives.PICKLED,
    b"<": "XML or HTML, not ONNX: check where it was downloaded from",
}


@dataclass(frozen=True)
class _Opened:
    """A message of our own, the folder of its external data, and what holds weights inside of it.

    That is the model's file, or its bytes.
    """

    where: str
    proto: onnx.ModelProto
    folder: Path | None = None
    file: Path | None = None
    content: bytes | None = None


def read(source: Source) -> ir.Model:
    """Read a network and check that it can be worked on.

    Args:
        source: Path of an ONNX file, its content, or a model in memory. It is left as it is.

    Returns:
        A graph of its own, sorted, with opset 13 or newer, constants as initializers (tensors in
        memory, read-only), no functions, and shapes where they can be inferred; one of float32
        if its layers are of double precision or bfloat16.

    Raises:
        ModelError: The file or the graph is broken.
        UnsupportedError: The network is valid but not handled, such as an already quantized one.
        ConfigError: The source is none of the above.
    """
    opened = _open(source)
    schema.text(opened.proto, where=opened.where)
    opset.check(opened.proto, where=opened.where)
    opset.name_default_domain(opened.proto)
    checks.structure(opened.proto, where=opened.where)
    schema.operators(opened.proto, where=opened.where)
    model = _normalized(_parsed(opened), where=opened.where)
    _load_constants(model, opened)
    precision.widen(model)
    for check in (
        checks.not_quantized,
        checks.inference_mode,
        checks.finite,
        schema.inputs,
        limits.counts,
        schema.settle,
        sizes.sizes,
        limits.extents,
        checks.variances,
        sizes.magnitudes,
    ):
        check(model, where=opened.where)
    model.meta[_BESIDE] = _data_bytes(opened)
    return model


def beside(model: ir.Model) -> int:
    """Return the bytes of the data files beside the file that a model was read from."""
    return int(model.meta.get(_BESIDE, 0))


def _open(source: Source) -> _Opened:
    if isinstance(source, onnx.ModelProto):
        where = "the given ModelProto"
        try:
            return _from_bytes(source.SerializeToString(), where)
        except (EncodeError, ValueError) as error:
            raise ModelError(
                f"{where} is larger than 2 GB: save it with external data and give its path"
            ) from error
    if isinstance(source, ir.Model):
        return _from_graph(source)
    if isinstance(source, bytes):
        return _from_bytes(source, "the given bytes")
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source))
    raise ConfigError(
        f"a model is a path, bytes, onnx.ModelProto or onnx_ir.Model, not {type(source).__name__}"
    )


def _from_bytes(content: bytes, where: str) -> _Opened:
    proto = outline_of(content) if is_large(len(content)) else None
    if proto is not None:
        return _Opened(where, proto, content=content)
    return _Opened(where, _message(content, where))


def _from_path(path: Path) -> _Opened:
    where = repr(str(path))
    try:
        if path.is_dir():
            raise ModelError(f"{where} is a folder: give the path of the ONNX file in it")
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ModelError(f"{where} is not a regular file: copy the model to one")
        size = path.stat().st_size
        proto = outline(path) if size >= _OUTLINED or is_large(size) else None
        outlined = proto is not None
        proto = proto or _message(path.read_bytes(), where)
    except FileNotFoundError as error:
        raise ModelError(f"{where}: there is no such file: check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(
            f"{where} cannot be read: {reason}: check the path and its rights"
        ) from error
    return _Opened(where, proto, path.absolute().parent, path.resolve() if outlined else None)


def _message(data: bytes, where: str) -> onnx.ModelProto:
    if not data:
        raise ModelError(f"{where} is empty: download or export it again")
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        if data.startswith(b"PK\x03\x04"):
            raise ModelError(f"{where} is {archives.described(data)}") from error
        for magic, meaning in _OTHER_FORMATS.items():
            if data.startswith(magic):
                raise ModelError(f"{where} is {meaning}") from error
        raise ModelError(
            f"{where} is not an ONNX file, or is cut short: download or export it again"
        ) from error
    return model


def _from_graph(model: ir.Model) -> _Opened:
    where = "the given onnx_ir.Model"
    loaded: dict[ir.Value, ir.TensorProtocol] = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None:
            raise ModelError(f"{where}: tensor {name!r} has no values: set its const_value")
        if isinstance(tensor, ir.ExternalTensor):
            folder = Path(tensor.base_dir or ".")
            loaded[value] = weight_tensors.external(tensor, name, folder=folder, where=where)
    try:
        with swapped(loaded):
            return _Opened(where, ir.serde.serialize_model(model))
    except ir.serde.SerdeError as error:
        raise ModelError(f"{where} cannot be serialized: {_root(error)}: repair it") from error


def _parsed(opened: _Opened) -> ir.Model:
    schema.open_sizes(opened.proto)
    schema.typed_outputs(opened.proto)
    try:
        model = ir.serde.deserialize_model(opened.proto)
    except (ir.serde.SerdeError, NotImplementedError) as error:
        raise ModelError(
            f"{opened.where} cannot be parsed: {_root(error)}: export the network again"
        ) from error
    _load_constants(model, opened)
    constants_are_no_inputs(model)
    return model


def _normalized(model: ir.Model, *, where: str) -> ir.Model:
    functions.inline(model, where=where)
    checks.in_order(model, where=where)
    told.tell(model)
    model = opset.settled(model, where=where)
    try:
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    except (ir.passes.PassError, TypeError, ValueError) as error:
        raise ModelError(
            f"{where}: a Constant is broken: {_root(error)}: export the network again"
        ) from error
    constants_are_no_inputs(model)
    told.tell(model)
    return model


def _load_constants(model: ir.Model, opened: _Opened) -> None:
    """Give every initializer a tensor in memory that nobody else holds, in place."""
    where = opened.where
    mapped = is_large(_data_bytes(opened)) or (
        opened.file is not None and is_large(opened.file.stat().st_size)
    )
    for graph in model.graphs():
        for name, value in graph.initializers.items():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor) and _is_in_bytes(tensor, opened):
                content = opened.content or b""
                value.const_value = weight_tensors.inside(tensor, name, content, where=where)
            elif isinstance(tensor, ir.ExternalTensor):
                tensor, there = _placed(tensor, opened)
                value.const_value = weight_tensors.external(
                    tensor, name, folder=there, where=where, mapped=mapped
                )
            elif tensor is not None and not isinstance(tensor, ir.Tensor | ir.LazyTensor):
                value.const_value = weight_tensors.in_memory(tensor, name, where=where)


def _is_in_bytes(tensor: ir.ExternalTensor, opened: _Opened) -> bool:
    return opened.content is not None and str(tensor.location) == INSIDE


def _placed(tensor: ir.ExternalTensor, opened: _Opened) -> tuple[ir.ExternalTensor, Path | None]:
    """Return a reference, and the folder that it starts from: the model's file is known here."""
    if opened.file is None or str(tensor.location) != INSIDE:
        return tensor, opened.folder
    shape, name = tensor.shape, tensor.name or ""
    place, own = (tensor.offset, tensor.length, tensor.dtype), opened.file
    return ir.ExternalTensor(own.name, *place, shape=shape, name=name), own.parent


def _data_bytes(opened: _Opened) -> int:
    weights = opened.proto.graph.initializer
    entries = (entry for weight in weights for entry in weight.external_data)
    names = {entry.value for entry in entries if entry.key == "location"}
    return sum(_bytes_of(opened.folder / name) for name in names) if opened.folder else 0


def _bytes_of(file: Path) -> int:
    """Return the size of a file; 0 for what is none, which is told where it is read."""
    try:
        return file.stat().st_size
    except (OSError, ValueError):
        return 0


def _root(error: BaseException) -> str:
    """Return the message of the first cause, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
