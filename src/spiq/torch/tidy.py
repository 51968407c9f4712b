"""What PyTorch's exporter writes that was never in the module.

A convolution without a bias gets one of zeros, computed in the graph; that of a Conv3d has the
wrong shape (onnxscript 0.7), and no runtime takes it. It is dropped.
"""

import onnx_ir as ir

from spiq.graph.edit import remove_unused

_KEEPS_ZEROS = frozenset({"Cast", "CastLike", "Expand", "Identity", "Reshape"})


def drop_zero_biases(model: ir.Model) -> int:
    """Drop biases of convolutions that are computed from a single zero, in place."""
    dropped = 0
    for node in model.graph:
        if node.op_type in ("Conv", "ConvTranspose") and len(node.inputs) == 3:
            if not _is_zero(node.inputs[2]):
                continue
            node.resize_inputs(2)
            dropped += 1
    remove_unused(model.graph)
    return dropped


def _is_zero(value: ir.Value | None) -> bool:
    node = value.producer() if value is not None else None
    while node is not None and node.op_type in _KEEPS_ZEROS:
        above = node.inputs[0]
        node = above.producer() if above is not None else None
    if node is None or node.op_type != "Constant":
        return False
    held = node.attributes.get("value") or node.attributes.get("value_float")
    if held is None:
        return False
    if held.type == ir.AttributeType.FLOAT:
        return held.as_float() == 0
    numbers = held.as_tensor().numpy()
    return numbers.size == 1 and not numbers.any()
