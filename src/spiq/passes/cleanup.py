"""Drop what computes nothing: no-ops, and other spellings of lists, bounds and pads."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.edit import bypass, initializer
from spiq.graph.query import constant, dims, ints, is_constant, rank, spatial


def drop_noops(model: ir.Model) -> int:
    """Remove Identity, inference Dropout, Cast and Reshape to the same and Pad by nothing."""
    removed = 0
    for node in list(model.graph):
        if node.domain == "" and _is_noop(node):
            removed += bypass(node)
    return removed


def _is_noop(node: ir.Node) -> bool:
    if node.op_type == "Identity":
        return not is_constant(node.inputs[0])
    if node.op_type == "Dropout":
        mask_used = any(mask.uses() or mask.is_graph_output() for mask in node.outputs[1:])
        mode = node.inputs[2] if len(node.inputs) > 2 else None
        training = constant(mode)
        return not mask_used and (mode is None or (training is not None and not training.any()))
    if node.op_type == "Cast":
        source = node.inputs[0]
        return source is not None and source.dtype == node.attributes.get_int("to")
    if node.op_type == "Reshape":
        before, after = dims(node.inputs[0]), dims(node.outputs[0])
        return before is not None and before == after and before.count(None) < 2
    if node.op_type == "Pad":
        pads = constant(node.inputs[1])
        return pads is not None and not pads.any()
    return False


_LISTS = {
    "Slice": (1, 2, 3, 4), "Squeeze": (1,), "Unsqueeze": (1,), "ReduceMean": (1,), "Pad": (1, 3),
}  # fmt: skip
_NUMBERS = {"Clip": (1, 2)}


def plain_constants(model: ir.Model) -> int:
    """Write lists of one number as lists, and bounds as plain numbers: runtimes take either."""
    changed = 0
    for node in model.graph:
        for table, shape in ((_LISTS, (1,)), (_NUMBERS, ())):
            for place in table.get(node.op_type, ()) if node.domain == "" else ():
                value = node.inputs[place] if place < len(node.inputs) else None
                array = constant(value)
                if value is None or array is None or array.size != 1 or array.ndim == len(shape):
                    continue
                plain = initializer(model.graph, f"{value.name}_plain", array.reshape(shape))
                node.replace_input_with(place, plain)
                changed += 1
    return changed


def plain_pads(model: ir.Model) -> int:
    """Give a Pad of some axes pads for every axis: the runtime breaks it where it turns tensors."""
    changed = 0
    for node in model.graph:
        if node.op_type != "Pad" or node.domain != "" or len(node.inputs) < 4:
            continue
        pads, axes = constant(node.inputs[1]), constant(node.inputs[3])
        size = rank(node.inputs[0])
        if pads is None or axes is None or size is None:
            continue
        full = np.zeros((2, size), np.int64)
        full[:, axes.reshape(-1)] = pads.reshape(2, -1)
        name = f"{node.outputs[0].name}_pads"
        node.replace_input_with(1, initializer(model.graph, name, full.reshape(-1)))
        node.resize_inputs(3 if node.inputs[2] is not None else 2)
        changed += 1
    return changed


def plain_resizes(model: ir.Model) -> int:
    """Give a Resize of some axes by constants a factor for every axis, where factors are exact."""
    changed = 0
    for node in model.graph:
        if node.op_type != "Resize" or node.domain != "" or "axes" not in node.attributes:
            continue
        scales = _full_scales(node)
        if scales is not None:
            for name in ("axes", "keep_aspect_ratio_policy"):
                node.attributes.pop(name, None)
            node.resize_inputs(3)
            name = f"{node.outputs[0].name}_scales"
            node.replace_input_with(2, initializer(model.graph, name, scales))
            changed += 1
    return changed


def _full_scales(node: ir.Node) -> npt.NDArray[np.float32] | None:
    before = dims(node.inputs[0])
    if before is None or constant(_input(node, 1)) is not None:
        return None
    axes = [axis % len(before) for axis in ints(node, "axes", [])]
    factors, sizes = constant(_input(node, 2)), constant(_input(node, 3))
    full = np.ones(len(before), np.float32)
    if factors is not None and factors.size == len(axes):
        full[axes] = factors
        return full
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    if sizes is None or sizes.size != len(axes) or policy != "stretch":
        return None
    for axis, size in zip(axes, sizes.tolist(), strict=True):
        have = before[axis]
        full[axis] = size / have if have else 0
        if not have or float(full[axis]) * have != size:
            return None
    return full


def _input(node: ir.Node, place: int) -> ir.Value | None:
    return node.inputs[place] if place < len(node.inputs) else None


def explicit_pads(model: ir.Model) -> int:
    """Write ``auto_pad`` of convolutions and pools as ``pads`` where the sizes are known."""
    changed = 0
    for node in model.graph:
        if node.domain != "" or node.op_type not in ("Conv", "AveragePool", "MaxPool"):
            continue
        mode = node.attributes.get_string("auto_pad", "NOTSET")
        if mode == "NOTSET":
            continue
        pads = _pads_of(node, mode)
        if pads is not None:
            del node.attributes["auto_pad"]
            node.attributes.add(ir.AttrInt64s("pads", pads))
            changed += 1
    return changed


def _pads_of(node: ir.Node, mode: str) -> list[int] | None:
    sizes = spatial(node.inputs[0])
    kernel = kernel_shape(node)
    if mode == "VALID":
        return [0] * (2 * len(kernel))
    if sizes is None:
        return None
    strides = ints(node, "strides", [1] * len(kernel))
    dilations = ints(node, "dilations", [1] * len(kernel))
    total = [
        max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    small = [pad // 2 for pad in total]
    large = [pad - half for pad, half in zip(total, small, strict=True)]
    return small + large if mode == "SAME_UPPER" else large + small


def kernel_shape(node: ir.Node) -> list[int]:
    """Return the kernel's spatial sizes, from the attribute or from the weight."""
    weight = dims(node.inputs[1]) if len(node.inputs) > 1 else None
    inferred = [size for size in (weight or [])[2:] if size is not None]
    return ints(node, "kernel_shape", inferred)
