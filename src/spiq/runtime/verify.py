"""Check a quantized network in the runtime before success is reported.

1. It loads and runs, and its outputs are finite.
2. Every layer that the plan quantizes ended in an integer kernel of the runtime.
3. Layer by layer, what the runtime's fused kernels store is within two steps of what the graph
   means: the same graph, executed as written, in float, from the same stored inputs.
4. The signal-to-noise ratio of the float outputs is returned, against the float network, or why
   there is none. (An output's size may depend on what is found, such as the boxes that are kept.)
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from spiq.errors import ModelError, VerificationError
from spiq.planning.plan.resolve import Resolved
from spiq.runtime.expose import add_outputs
from spiq.runtime.scratch import scratch_file
from spiq.runtime.session import call, session
from spiq.runtime.snr import Energy
from spiq.runtime.synthetic import DYNAMIC_SIZE, Span, Tensors, synthetic_inputs

STEPS_APART = 2
"""How far a fused kernel may be from the graph's meaning, in steps of the stored tensor."""

_CONVOLUTIONS = ("QLinearConv", "ConvInteger")
_FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")
_PRODUCTS = ("QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "MatMulInteger",
             "DynamicQuantizeMatMul")  # fmt: skip
_SUMS = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}
"""Operators that sum integers up, and what they are in float."""

_LARGE = 1 << 20
"""Pixels of such an image."""

_ONE = "::one"


@dataclass(frozen=True)
class Verified:
    """How far the outputs are from the float network's.

    Attributes:
        snr_db: Signal-to-noise ratio in dB, by output.
        no_snr: Why there is none, by output.
    """

    snr_db: dict[str, float]
    no_snr: dict[str, str]


def verify(
    original: bytes | str,
    quantized: bytes,
    resolved: Resolved,
    ends: Mapping[str, Span] | None = None,
) -> Verified:
    """Check ``quantized`` against ``original``; return the SNR of each float output.

    Args:
        original: The float network.
        quantized: The quantized one.
        resolved: What was done to it.
        ends: Ranges of inputs that are not stored.

    Raises:
        VerificationError: It does not load, does not run, is not finite, lost an integer kernel,
            or computes something else than the graph says.
        ModelError: The float model itself does not load or run.
    """
    proto = onnx.load_from_string(quantized)
    lean = _is_large(proto.graph)
    # As it is: quicker to open, and half the memory.
    reference = session(original, optimize=False, lean=lean)
    inputs = synthetic_inputs(reference, {**(ends or {}), **_input_ranges(resolved)})
    results = call(reference, None, inputs, where="the float network")
    expected = {
        output.name: array
        for output, array in zip(reference.get_outputs(), results, strict=True)
        if output.type in _FLOATS
    }
    for name, array in expected.items():
        if not np.isfinite(array).all():
            raise ModelError(
                f"the float network: its output '{name}' is not finite on synthetic images: the "
                "weights are damaged, or the input range is wrong (see --input-range)"
            )
    del reference
    with scratch_file() as optimized:
        stored = _expose_stored(proto)
        opened = session(proto.SerializeToString(), lean=lean, optimized_path=optimized)
        _check_kernels(optimized, resolved)
    actual = _run(opened, inputs)
    del opened
    for name in expected:
        if not np.isfinite(actual[name]).all():
            raise VerificationError(f"output '{name}' of the quantized network is not finite")
    _check_layers(proto, stored, inputs, actual, lean=lean)
    return _ratios(expected, actual)


def _ratios(expected: Tensors, actual: Tensors) -> Verified:
    ratios, reasons = {}, {}
    for name, array in expected.items():
        same = array.shape == actual[name].shape
        energy = Energy.of(array, actual[name]) if same else Energy()
        reason = energy.why_not if same else "its size depends on what is found"
        if reason:
            reasons[name] = reason
        else:
            ratios[name] = energy.db
    return Verified(ratios, reasons)


def _is_large(graph: onnx.GraphProto) -> bool:
    """Return whether an input is so large that memory counts for more than time."""
    shapes = ([dim.dim_value for dim in i.type.tensor_type.shape.dim] for i in graph.input)
    return any(math.prod(size or DYNAMIC_SIZE for size in shape[2:]) > _LARGE for shape in shapes)


def _input_ranges(resolved: Resolved) -> dict[str, Span]:
    """Return the range that the plan stores each input in, shaped to broadcast over it."""
    ranges = {}
    for name, tensor in resolved.tensors.items():
        steps = tensor.grid.step * np.array(tensor.channel_scale).reshape(tensor.layout)
        least = tensor.grid.qmin - tensor.grid.zero_point
        ranges[name] = (least * steps, (tensor.grid.qmax - tensor.grid.zero_point) * steps)
    return ranges


def _run(opened: ort.InferenceSession, inputs: Mapping[str, np.ndarray]) -> Tensors:
    names = [output.name for output in opened.get_outputs()]
    try:
        results = call(opened, names, inputs, where="the quantized network")
    except ModelError as error:
        raise VerificationError(str(error)) from error
    return dict(zip(names, results, strict=True))


def _expose_stored(proto: onnx.ModelProto) -> list[str]:
    """Make every stored tensor of integers a graph output too; return their names."""
    results = {name: node for node in proto.graph.node for name in node.output}
    outputs = {output.name for output in proto.graph.output}
    stored = [name for node in proto.graph.node for name in _integers(node) if name in results]
    names = [name for name in dict.fromkeys(stored) if name not in outputs]
    add_outputs(proto, names)
    return names


def _integers(node: onnx.NodeProto) -> list[str]:
    """Return the integers that a node reads: a tensor, and with sums its zero point too."""
    if node.op_type in _SUMS:
        return [node.input[0], node.input[2]]
    return [node.input[0]] if node.op_type == "DequantizeLinear" else []


def _check_kernels(optimized: Path, resolved: Resolved) -> None:
    graph = onnx.load(optimized, load_external_data=False).graph
    found = Counter(node.op_type for node in graph.node)
    integer = sum(found[operator] for operator in (*_CONVOLUTIONS, *_PRODUCTS))
    if integer < len(resolved.layers):
        left = [n.name for n in graph.node if n.op_type in ("Conv", "FusedConv", "Gemm", "MatMul")]
        raise VerificationError(
            f"{len(resolved.layers) - integer} of {len(resolved.layers)} quantized layers fell "
            f"back to float in ONNX Runtime ({', '.join(left[:3])}): exclude them with --exclude"
        )


def _check_layers(
    proto: onnx.ModelProto, stored: list[str], inputs: Tensors, actual: Tensors, *, lean: bool
) -> None:
    """Recompute each stored tensor from the stored ones before it, with every node as written.

    Sums of integers are computed in float, which is exact but for the last bits.
    """
    cut = onnx.ModelProto()
    cut.CopyFrom(proto)
    renamed = {name: f"{name}::stored" for name in stored}
    for node in cut.graph.node:
        if node.op_type in ("DequantizeLinear", "Pad", *_SUMS):
            for index, name in enumerate(node.input):
                node.input[index] = renamed.get(name, name)
    _sum_in_float(cut.graph)
    for name, entry in renamed.items():
        cut.graph.input.append(
            onnx.helper.make_tensor_value_info(entry, onnx.TensorProto.UINT8, actual[name].shape)
        )
    given = {**inputs, **{renamed[name]: actual[name] for name in stored}}
    meant = _run(session(cut.SerializeToString(), optimize=False, lean=lean), given)
    for name in stored:
        apart = np.abs(np.subtract(meant[name], actual[name], dtype=np.int16))
        if apart.max(initial=0) > STEPS_APART:
            raise VerificationError(
                f"tensor '{name}': ONNX Runtime's integer kernel is {int(apart.max())} steps away "
                "from what the graph says: report this, or exclude the layer with --exclude"
            )


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
