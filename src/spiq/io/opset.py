"""The version of the operators of a model: which are taken, and how others are raised or lowered.

====================  ==========================================================
older than 7          refused: the runtime does not run them
7 to 10               raised to 13 as below, and taken if both compute the same
11 and 12             raised to 13, the first with a quantizer per axis
13 to 27              stay as they are
28                    lowered to 27, the last for which the runtime has quantizers, likewise
unknown to ``onnx``   refused
====================  ==========================================================

Before opset 11, Resize (and Upsample, which it replaced) reads at ``asymmetric`` places: what the
converter leaves to newer defaults is stated.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from spiq.errors import ModelError, UnsupportedError
from spiq.graph.query import dims
from spiq.graph.skeleton import PLAIN_CONSTANTS, attach, skeleton
from spiq.io.contributed import spell_contributed
from spiq.io.experimental import spell_out

OLDEST, WANTED, NEWEST = 7, 13, 27
_RELIABLE = 11
"""The first opset from which the converter is trusted."""

_SAME = 1e-4
"""Of the largest output: the difference of two networks that compute the same in another order."""

_SIZE = 64
"""Of an image's height and width where they are not fixed."""

DEFAULT_DOMAIN = ("", "ai.onnx")
"""Names of the domain of ONNX's own operators."""

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
    versions = [entry.version for entry in proto.opset_import if entry.domain in DEFAULT_DOMAIN]
    if not versions:
        raise ModelError(
            f"{where}: the model imports no opset of the default domain: export it again"
        )
    version, newest = max(versions), onnx.defs.onnx_opset_version()
    if version < OLDEST:
        raise UnsupportedError(
            f"{where}: opset {version} is older than {OLDEST}, which no runtime runs: export it "
            f"with opset {WANTED} or newer"
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
    """Write the default domain as the empty string, as everything else here does, in place.

    Imports may call it by its long name, and so may nodes: some exporters write it on each.
    """
    for imports in (proto.opset_import, *(function.opset_import for function in proto.functions)):
        for entry in imports:
            if entry.domain in DEFAULT_DOMAIN:
                entry.domain = ""
    own = {(function.domain, function.name) for function in proto.functions}
    for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
        for node in every_node(nodes):
            if node.domain in DEFAULT_DOMAIN and (node.domain, node.op_type) not in own:
                node.domain = ""


def every_node(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield nodes, and those of the graphs that they hold."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from every_node(graph.node)


def settled(model: ir.Model, *, where: str) -> ir.Model:
    """Return the model with an opset that can be worked on, the model itself where it has one.

    Args:
        model: A sorted model without functions of its own.
        where: The model's name for messages.

    Raises:
        UnsupportedError: The converter fails, or what it made computes something else.
    """
    _state_axes(model)
    spell_out(model)
    spell_contributed(model)
    version = model.opset_imports[""]
    wanted = min(max(version, WANTED), NEWEST)
    if version == wanted:
        return model
    newer = _turned(model, wanted, where=where)
    if version < _RELIABLE:
        _state_places(newer)
    if not _RELIABLE <= version <= NEWEST:
        _compare(model, newer, where)
    return newer


def raised(model: ir.Model, least: int, *, where: str) -> ir.Model:
    """Return the model with an opset that is not older than ``least``; the rest as above."""
    return model if model.opset_imports[""] >= least else _turned(model, least, where=where)


def _unknown(model: ir.Model) -> str:
    """Say which operator the converter does not know, whose own words are of its source code."""
    for node in model.graph:
        known = onnx.defs.has(node.op_type, node.domain)
        if node.domain == "" and not known:
            return f"ONNX has no operator {node.op_type}, of {node.outputs[0].name!r}"
    return ""


def _turned(model: ir.Model, wanted: int, *, where: str) -> ir.Model:
    version = model.opset_imports[""]
    try:
        proto = onnx.version_converter.convert_version(skeleton(model), wanted)
    except _FAILURES as error:
        reason = _unknown(model) or " ".join(str(error).split())
        raise UnsupportedError(
            f"{where}: opset {version} cannot be turned into {wanted} ({reason}): export it with "
            f"opset {wanted}"
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
    newer.meta.update(model.meta)
    return newer


def _state_axes(model: ir.Model) -> None:
    """Write out the default of an attribute without which onnx's own shape inference fails."""
    for node in model.graph.all_nodes():
        if node.op_type == "MeanVarianceNormalization" and not node.domain:
            node.attributes.setdefault("axes", ir.AttrInt64s("axes", [0, 2, 3]))


def _state_places(model: ir.Model) -> None:
    for node in model.graph.all_nodes():
        if node.op_type == "Resize" and not node.domain:
            for name, text in (
                ("coordinate_transformation_mode", "asymmetric"),
                ("nearest_mode", "floor"),
            ):
                node.attributes.setdefault(name, ir.AttrString(name, text))


def _compare(model: ir.Model, turned: ir.Model, where: str) -> None:
    """Refuse a conversion that computes something else on random inputs, or cannot be run."""
    version, wanted = model.opset_imports[""], turned.opset_imports[""]
    todo = f"export it with opset {wanted}"
    try:
        before, after = _run(model), _run(turned)
    except Exception as error:  # the runtime's exceptions share no public base class
        reason = (str(error).strip().splitlines() or [""])[0]
        raise UnsupportedError(
            f"{where}: the network, as it is with opset {version} or turned into {wanted}, cannot "
            f"be run to compare them ({reason:.200}): {todo}"
        ) from error
    for value, old, new in zip(model.graph.outputs, before, after, strict=True):
        if not _same(np.asarray(old), np.asarray(new)):
            raise UnsupportedError(
                f"{where}: turned from opset {version} into {wanted}, the network computes another "
                f"{value.name!r}: {todo}"
            )


def _same(old: Any, new: Any) -> bool:
    if old.shape != new.shape or old.dtype != new.dtype:
        return False
    if old.dtype.kind != "f":
        return bool((old == new).all())
    largest = float(np.abs(old[np.isfinite(old)]).max(initial=0))
    return bool(np.allclose(old, new, rtol=0, atol=_SAME * largest, equal_nan=True))


def _run(model: ir.Model) -> list[Any]:
    import onnxruntime as ort  # takes its time, and is rarely needed here

    options = ort.SessionOptions()
    options.log_severity_level = 4
    proto = ir.serde.serialize_model(model)
    proto.ir_version = max(proto.ir_version, PLAIN_CONSTANTS)
    opened = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(0)
    feeds = {}
    for value in model.graph.inputs:
        sizes = enumerate(dims(value) or ())
        shape = [(_SIZE if axis > 1 else 1) if size is None else size for axis, size in sizes]
        dtype = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
        feeds[str(value.name)] = random.standard_normal(shape).astype(dtype)
    results: list[Any] = opened.run(None, feeds)
    return results
