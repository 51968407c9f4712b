"""Write small grouped convolutions as dense ones, where the runtime's integer kernel is faster so.

An integer kernel that handles one group after the other reaches about 0.2 GMAC/s times the product
of a group's input and output channels (ONNX Runtime, one core with VNNI), a dense one about 190.
The dense form has g times as many products, all but one g-th of them by zero weights, and takes
channels in blocks of 16. So it pays where C O / g, C and O being whole blocks, is under about 640:
without VNNI, too, where both kinds are slower. The result is the same to the last bit.
"""

import numpy as np
import onnx_ir as ir

from spiq.passes.layer_weights import set_weight_and_bias, weight_and_bias

_BLOCK = 16
"""Channels that a dense kernel takes together."""


def fill_groups(layers: list[ir.Node], limit: int) -> int:
    """Make grouped convolutions dense where that takes at most ``limit`` times g weights, in place.

    Args:
        layers: Quantized layers, scales folded, not yet rounded.
        limit: Weights per tap and group of the dense form up to which it pays; 0 for never.
    """
    changed = 0
    for node in layers:
        groups = node.attributes.get_int("group", 1) if node.op_type == "Conv" else 1
        if groups == 1:
            continue
        weight, bias = weight_and_bias(node)
        outputs, inputs = weight.shape[:2]
        depthwise = inputs == 1 and outputs == groups
        if depthwise or _in_blocks(outputs) * _in_blocks(groups * inputs) > groups * limit:
            continue
        set_weight_and_bias(node, dense(weight, groups), bias)
        node.attributes.add(ir.AttrInt64("group", 1))
        changed += 1
    return changed


def _in_blocks(channels: int) -> int:
    return -(-channels // _BLOCK) * _BLOCK


def dense(weight: np.ndarray, groups: int) -> np.ndarray:
    """Return the weight (O, C, ...) that says the same as one (O, C/g, ...) of some groups."""
    outputs, inputs = weight.shape[:2]
    filled = np.zeros((outputs, groups, inputs, *weight.shape[2:]), weight.dtype)
    rows = np.arange(outputs)
    filled[rows, rows // (outputs // groups)] = weight
    return filled.reshape(outputs, -1, *weight.shape[2:])
