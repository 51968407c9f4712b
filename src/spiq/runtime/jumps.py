"""Which tensors lie behind an operator that jumps: where the last bit of what it reads decides.

A comparison, a rounding or the index of the largest is another one for a difference of nothing, and
two kernels that are both right differ in their last bits. Sizes are no numbers in this sense: a
mask that is made of them is the same every time.
"""

import onnx

_JUMPS = frozenset({"ArgMax", "ArgMin", "Ceil", "Equal", "Floor", "Greater", "GreaterOrEqual",
                    "Hardmax", "Less", "LessOrEqual", "Mod", "NonMaxSuppression", "NonZero",
                    "Round", "Shrink", "Sign", "ThresholdedRelu", "TopK", "Unique"})  # fmt: skip
_SIZES = frozenset({"Shape", "Size"})
_FLOATS = frozenset({onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT,
                     onnx.TensorProto.FLOAT16})  # fmt: skip


def behind_jumps(graph: onnx.GraphProto, stored: frozenset[str]) -> frozenset[str]:
    """Return which of the stored tensors an operator that jumps lies in front of.

    Args:
        graph: The quantized network.
        stored: Names of the stored tensors, from which all is computed anew.
    """
    numbers, jumping = {info.name for info in graph.input}, set[str]()
    for node in graph.node:
        read = {name for name in node.input if name in numbers}
        if node.op_type in _SIZES or not read:
            continue
        numbers.update(node.output)
        if _jumps(node) or (read - stored) & jumping:
            jumping.update(node.output)
    return stored & jumping


def _jumps(node: onnx.NodeProto) -> bool:
    """Return whether a node jumps; a Cast does where it cuts fractions off."""
    if node.op_type == "Cast":
        return next(a.i for a in node.attribute if a.name == "to") not in _FLOATS
    return node.op_type in _JUMPS
