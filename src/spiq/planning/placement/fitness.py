"""Whether a layer can run on integers: its form, its target, and what is known of its input."""

from collections.abc import Mapping

import onnx_ir as ir

from spiq.graph.query import data_inputs, is_constant, is_float32, rank, stored_shape, where
from spiq.stats.propagate import Measured
from spiq.targets import Target

_OTHERWISE = {
    "ConvTranspose": ", and a convolution in its place would be slower there, or does not fit"
}
"""What there would be for a layer without an integer kernel."""


def no_kernel(node: ir.Node, target: Target) -> str:
    """Return the reason of what no integer kernel computes."""
    return f"{target.name} has no integer kernel for {node.op_type}"


def unfit(node: ir.Node, target: Target, exclude: Mapping[str, str]) -> str:
    """Return why a layer cannot run on integers, whatever is known of its input; empty if it can.

    Args:
        node: The layer.
        target: The runtime.
        exclude: Names of layers to leave in float, and why.
    """
    name = str(node.name)
    if name in exclude:
        return exclude[name] or "excluded"

    # the operator
    if node.op_type not in target.integer:
        return f"{no_kernel(node, target)}{_OTHERWISE.get(node.op_type, '')}"
    if not is_float32(node.outputs[0]):
        return f"computes in {node.outputs[0].dtype}, not float32"
    if node.op_type == "Gemm" and not (
        node.attributes.get_int("transB", 0) and not node.attributes.get_int("transA", 0)
    ):
        return "this form of Gemm cannot be folded"

    # its bias, and factors of either
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and not is_constant(bias):
        return "its bias is not constant"
    if bias is not None and rank(bias) != 1:
        return "its bias is not one number per output"
    if any(node.attributes.get_float(name, 1.0) != 1 for name in ("alpha", "beta")):
        return "this form of Gemm cannot be folded"
    return ""


def why_float(node: ir.Node, measured: Measured, target: Target, exclude: Mapping[str, str]) -> str:
    """Return why a layer stays in float, its input looked at; empty if it runs on integers.

    Args:
        node: The layer.
        measured: Statistics of the network's tensors.
        target: The runtime.
        exclude: Names of layers to leave in float, and why.
    """
    reason = unfit(node, target, exclude)
    if reason:
        return reason

    weight, size = node.inputs[1], rank(node.inputs[0])
    shape = stored_shape(weight) if is_constant(weight) else None
    if shape is not None and size is not None and size != len(shape):
        return "the rank of its input is not that of its weight"

    known = measured.stats.get(node.inputs[0]) if node.inputs[0] is not None else None
    if known is None:
        behind = node.inputs[0].producer() if node.inputs[0] is not None else None
        return "no statistics of its input" + (
            f", from {source_without(behind, measured)}" if behind else ""
        )

    # each column of the weight meets one channel of the input, or all meet the same
    if shape is None or known.mean.ndim != len(shape):
        return "the rank of its input is not that of its weight"
    columns = shape[0] if node.op_type == "MatMul" else shape[1]
    columns *= node.attributes.get_int("group", 1)
    if known.mean.size not in (1, columns) or known.mean.size != known.mean.shape[1]:
        return "its input is not known channel by channel"
    if measured.stats.get(node.outputs[0]) is None:
        return "no statistics of its output"
    return ""


def source_without(node: ir.Node, measured: Measured) -> str:
    """Name the first node on the way down to ``node`` behind which statistics are missing."""
    while True:
        missing = [value for value in data_inputs(node) if value not in measured.stats]
        behind = next((made for value in missing if (made := value.producer())), None)
        if behind is None:
            return where(node)
        node = behind
