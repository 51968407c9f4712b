"""What the runtime's fused kernels store, beside what the graph says, layer by layer.

The network runs once with every stored tensor an output; then each stored tensor is computed again
from the stored ones before it, with every node as written, in float. Sums of integers are computed
in float too, which is exact but for the last bits; behind a comparison and its like, where these
decide, a few numbers may be anything (:mod:`spiq.runtime.jumps`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from spiq.errors import VerificationError
from spiq.runtime.expose import add_outputs
from spiq.runtime.jumps import behind_jumps
from spiq.runtime.opened import Tensors
from spiq.runtime.session import Opening, call, session
from spiq.runtime.weights import taken

STEPS_APART = 2
"""How far a fused kernel may be from the graph's meaning, in steps of the stored tensor."""

FLIPPED = 0.02
"""Share of a tensor's numbers that may be farther away where a last bit decides what they are."""

_SUMS = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}
"""Operators that sum integers up, and what they are in float."""

_ONE = "::one"
QUANTIZED = "the quantized network"
"""What errors call it."""


def check_layers(
    proto: onnx.ModelProto, inputs: Tensors, how: Opening, bare: onnx.ModelProto | None = None
) -> None:
    """Compare each stored tensor with what the graph says.

    Args:
        proto: The quantized network; its outputs become more, and it loses its large weights.
        inputs: What to run it on.
        how: How to open the network.
        bare: The same with its large weights as inputs, which are then among ``inputs``: as it is
            written, it needs them nowhere else.

    Raises:
        VerificationError: A tensor is too far away; its node is named.
        ModelError: The runtime fails.
    """
    stored = _expose_stored(proto)
    if not stored:
        return
    own = {info.name: inputs[info.name] for info in proto.graph.input}
    weights = taken(proto)
    actual = stored_tensors(proto, stored, own, how, weights)
    cut = _cut(bare or proto, actual)
    add_outputs(cut, stored)
    given = {**inputs, **{_entry(name): array for name, array in actual.items()}}
    opened = session(
        cut.SerializeToString(), optimize=False, lean=how["lean"], weights={} if bare else weights
    )
    meant = dict(zip(stored, call(opened, stored, given, where=QUANTIZED), strict=True))
    jumping = behind_jumps(proto.graph, frozenset(stored))
    for name in stored:
        apart = _steps_apart(meant[name], actual[name])
        few = name in jumping and _share_apart(meant[name], actual[name]) < FLIPPED
        if apart > STEPS_APART and not few:
            raise VerificationError(
                f"tensor '{name}': ONNX Runtime's integer kernel is {apart} steps away "
                "from what the graph says: report this, or exclude the layer with --exclude",
                nodes=_writers(proto.graph, name),
            )


def _steps_apart(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> int:
    """Return the largest difference of two arrays of integers of one type, without a wider copy."""
    return int(_steps_between(one, other).max(initial=0))


def _share_apart(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> float:
    """Return how many of the numbers of two arrays are farther apart than kernels may be."""
    return float((_steps_between(one, other) > STEPS_APART).mean())


def _steps_between(
    one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]
) -> npt.NDArray[np.unsignedinteger[Any]]:
    size = one.dtype.itemsize
    apart: npt.NDArray[np.unsignedinteger[Any]] = np.subtract(
        np.maximum(one, other).view(f"u{size}"), np.minimum(one, other).view(f"u{size}")
    )
    return apart


def stored_tensors(
    proto: onnx.ModelProto,
    names: Sequence[str],
    inputs: Tensors,
    how: Opening,
    weights: Tensors | None = None,
) -> Tensors:
    """Return the stored tensors as the runtime's own kernels make them, by name.

    ``weights`` are those that were taken out of the network.

    Args:
        proto: The quantized network, the tensors among its outputs.
        names: Of the tensors.
        inputs: Arrays by name.
        how: With which options it is opened.
        weights: Those that were taken out of the network, by name.
    """
    opened = session(proto.SerializeToString(), **how, weights=weights or {})
    return dict(zip(names, call(opened, names, inputs, where=QUANTIZED), strict=True))


def _expose_stored(proto: onnx.ModelProto) -> list[str]:
    """Make every stored tensor of integers a graph output too; return their names."""
    results = {name for node in proto.graph.node for name in node.output}
    stored = [name for node in proto.graph.node for name in _integers(node) if name in results]
    names = list(dict.fromkeys(stored))
    add_outputs(proto, names)
    return names


def _integers(node: onnx.NodeProto) -> list[str]:
    """Return the integers that a node reads: a tensor, and with sums its zero point too."""
    if node.op_type in _SUMS:
        return [node.input[0], node.input[2]]
    return [node.input[0]] if node.op_type == "DequantizeLinear" else []


def _entry(name: str) -> str:
    return f"{name}::stored"


def _cut(proto: onnx.ModelProto, actual: Tensors) -> onnx.ModelProto:
    """Return the network with every reader of a stored tensor reading an input instead."""
    cut = onnx.ModelProto()
    cut.CopyFrom(proto)
    for node in cut.graph.node:
        if node.op_type in ("DequantizeLinear", "Pad", *_SUMS):
            for index, name in enumerate(node.input):
                node.input[index] = _entry(name) if name in actual else name
    _sum_in_float(cut.graph)
    cut.graph.input.extend(
        onnx.helper.make_tensor_value_info(
            _entry(name), onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in actual.items()
    )
    return cut


def _sum_in_float(graph: onnx.GraphProto) -> None:
    """Write sums of integers as sums of floats, in place."""
    nodes = []
    for node in graph.node:
        if node.op_type in _SUMS:
            inputs = [f"{node.output[0]}::{part}" for part in ("input", "weight")]
            for index, name in enumerate(inputs):
                read = [node.input[index], _ONE, node.input[index + 2]]
                nodes.append(onnx.helper.make_node("DequantizeLinear", read, [name]))
            node.op_type, node.input[:] = _SUMS[node.op_type], inputs
        nodes.append(node)
    if len(nodes) > len(graph.node):
        one = onnx.helper.make_tensor(_ONE, onnx.TensorProto.FLOAT, [], [1.0])
        graph.initializer.append(one)
        del graph.node[:], graph.value_info[:]
        graph.node.extend(nodes)


_OF_GRIDS = frozenset({"Clip", "DequantizeLinear", "QuantizeLinear", "Relu"})


def _writers(graph: onnx.GraphProto, name: str) -> dict[str, str]:
    """Return the name of the operator whose result is stored under ``name``, and its fault."""
    written = {output: node for node in graph.node for output in node.output}
    node = written.get(name)
    while node is not None and node.op_type in _OF_GRIDS:
        node = written.get(node.input[0])
    why = "ONNX Runtime's integer kernel computes something else"
    return {} if node is None else {node.name: why}
