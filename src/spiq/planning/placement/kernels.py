"""Forms of operators that ONNX Runtime 1.32 takes to integers and then breaks on.

Between a DequantizeLinear and a QuantizeLinear it makes an integer operator of what it has a
kernel for, by the operator's name alone, and its layout pass carries the channels-last order of
integer convolutions through what lies behind them. Found by running every form of the operators
with and without its optimizer:

    AveragePool with dilations                   its integer form has no such attribute: no load
    AveragePool, ceil_mode, padding counted      up to 21 steps away from the float kernel
    Resize, cubic                                channels-last: no load
    Resize with axes                             sizes are reordered as if there were one per axis

These stay in float, behind a node that both passes stop at (see :mod:`spiq.emit.qdq`).
"""

import onnx_ir as ir

from spiq.graph.query import dims, ints, spatial
from spiq.stats.rules.pooling import fills


def _ends_exactly(node: ir.Node) -> bool:
    """Return whether the windows of a pool end where its input does, so that nothing is rounded."""
    size, kernel = spatial(node.inputs[0]), ints(node, "kernel_shape", [])
    if size is None or node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return False
    half = len(size)
    pads, strides = ints(node, "pads", [0] * 2 * half), ints(node, "strides", [1] * half)
    ends = zip(size, kernel, strides, pads[:half], pads[half:], strict=True)
    return all((width + a + b - window) % step == 0 for width, window, step, a, b in ends)


def broken_form(node: ir.Node) -> str:
    """Return why the runtime must not take ``node`` to integers; empty if it may."""
    if node.domain != "":
        return ""
    if node.op_type == "AveragePool":
        if any(size != 1 for size in ints(node, "dilations", [])):
            return "ONNX Runtime has no integer AveragePool with dilations"
        counted = node.attributes.get_int("count_include_pad", 0)
        if counted and node.attributes.get_int("ceil_mode", 0) and not _ends_exactly(node):
            return "ONNX Runtime's integer AveragePool counts the padding of ceil_mode otherwise"
    if node.op_type == "Resize":
        if node.attributes.get_string("mode", "nearest") == "cubic":
            return "ONNX Runtime cannot load a cubic Resize between integer layers"
        if "axes" in node.attributes:
            return "ONNX Runtime breaks a Resize with axes between integer layers"
        before, after = dims(node.inputs[0]), dims(node.outputs[0])
        if before and after and before[1] != after[1]:
            return "a Resize of channels has none in common with what it reads"
        if fills(node):
            return "a Resize that crops fills with a number, which integers are not on the grid of"
    return ""
