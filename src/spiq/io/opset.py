"""The version of the operators of a model: which are taken, and how older ones are raised.

====================  ==========================================================
older than 11         refused: the converter is not reliable there
11 and 12             raised to 13, the first with a quantizer per axis
13 and newer          stay as they are
unknown to ``onnx``   refused
====================  ==========================================================
"""

import onnx
import onnx_ir as ir

from spiq.errors import ModelError, UnsupportedError
from spiq.graph.skeleton import attach, skeleton

OLDEST, WANTED = 11, 13
_DEFAULT = ("", "ai.onnx")
_FAILURES = (
    onnx.version_converter.ConvertError,
    onnx.shape_inference.InferenceError,
    RuntimeError,
    ValueError,
)
"""What the converter raises; the first two are no RuntimeError."""


def check(proto: onnx.ModelProto, *, where: str) -> None:
    """Refuse a model whose operator or file version is not handled.

    Raises:
        ModelError: The model does not say which version it has.
        UnsupportedError: The version is too old or too new.
    """
    versions = [entry.version for entry in proto.opset_import if entry.domain in _DEFAULT]
    if not versions:
        raise ModelError(
            f"{where}: the model imports no opset of the default domain: export it again"
        )
    version, newest = max(versions), onnx.defs.onnx_opset_version()
    if version < OLDEST:
        raise UnsupportedError(
            f"{where}: opset {version} is older than {OLDEST}; quantizers per axis need {WANTED} "
            f"and conversion from before {OLDEST} is not reliable: export it with opset {WANTED} "
            "or newer"
        )
    if version > newest:
        raise UnsupportedError(
            f"{where}: opset {version} is newer than {newest}, the last that onnx "
            f"{onnx.__version__} knows: install a newer onnx, or export with opset {newest}"
        )
    if proto.ir_version > onnx.IR_VERSION:
        raise UnsupportedError(
            f"{where}: IR version {proto.ir_version} is newer than {onnx.IR_VERSION}, the last "
            f"that onnx {onnx.__version__} knows: install a newer onnx, or export it again"
        )


def name_default_domain(proto: onnx.ModelProto) -> None:
    """Write the default domain as the empty string, as everything else here does, in place."""
    for entry in proto.opset_import:
        if entry.domain in _DEFAULT:
            entry.domain = ""


def raised(model: ir.Model, *, where: str) -> ir.Model:
    """Return the model with opset 13 where it has an older one, else the model itself.

    Args:
        model: A sorted model without functions of its own.
        where: The model's name for messages.

    Raises:
        UnsupportedError: The converter fails.
    """
    version = model.opset_imports[""]
    if version >= WANTED:
        return model
    try:
        proto = onnx.version_converter.convert_version(skeleton(model), WANTED)
    except _FAILURES as error:
        reason = " ".join(str(error).split())
        raise UnsupportedError(
            f"{where}: opset {version} cannot be raised to {WANTED} ({reason}): export it with "
            f"opset {WANTED} or newer"
        ) from error
    newer = ir.serde.deserialize_model(proto)
    attach(newer, model)
    newer.ir_version = model.ir_version
    newer.producer_name = model.producer_name
    newer.producer_version = model.producer_version
    newer.domain = model.domain
    newer.model_version = model.model_version
    newer.doc_string = model.doc_string
    newer.metadata_props.update(model.metadata_props)
    return newer
