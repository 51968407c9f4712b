"""Drop what computes nothing: no-ops, constant sub-expressions, implicit padding modes."""

import logging
import math

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import bypass, initializer, remove_unused
from spiq.graph.query import constant, dims, ints, is_constant, spatial, where
from spiq.graph.shapes import infer

_log = logging.getLogger(__name__)

_FOLDABLE = {
    "Add", "Cast", "Concat", "Div", "Expand", "Gather", "Identity", "Mul", "Neg", "Range",
    "Reshape", "Shape", "Slice", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip


def drop_noops(model: ir.Model) -> int:
    """Remove Identity, inference Dropout, Cast to the same type and Pad by nothing."""
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


def resolve_shapes(model: ir.Model) -> int:
    """Compute exporters' shape arithmetic now, as far as sizes are known.

    Each Reshape that becomes static makes more sizes known behind it, so this goes on until
    nothing changes.
    """
    total = 0
    while changed := fold_constants(model) + static_reshapes(model):
        total += changed
        remove_unused(model.graph)
        infer(model)
    return total


def static_reshapes(model: ir.Model) -> int:
    """Give a Reshape by a computed shape a constant one: 0 keeps the batch, -1 one unknown size."""
    changed = 0
    for node in model.graph:
        if node.op_type != "Reshape" or node.domain != "" or is_constant(node.inputs[1]):
            continue
        before, after = node.inputs[0], node.outputs[0]
        sizes = dims(after)
        if sizes is None or before is None or before.shape is None or after.shape is None:
            continue
        if sizes and sizes[0] is None and str(before.shape[0]) == str(after.shape[0]):
            sizes[0] = 0
        if sum(size is None for size in sizes) > 1 or bool(node.attributes.get_int("allowzero", 0)):
            continue
        target = np.array([-1 if size is None else size for size in sizes], np.int64)
        node.replace_input_with(1, initializer(model.graph, f"{after.name}_shape", target))
        changed += 1
    return changed


def fold_constants(model: ir.Model) -> int:
    """Replace nodes whose inputs are all constant by their value.

    A node that cannot be computed stays as it is: the runtime has the last word.
    """
    graph, folded = model.graph, 0
    for node in list(graph):
        known = _static_shape(node)
        if known is None and node.op_type in _FOLDABLE and node.domain == "" and node.inputs:
            inputs = [constant(value) for value in node.inputs if value is not None]
            known_all = all(array is not None for array in inputs)
            if known_all and _is_small(node) and not node.outputs[0].is_graph_output():
                known = _evaluate(node, [array for array in inputs if array is not None], model)
        if known is not None:
            name, node.outputs[0].name = f"{node.outputs[0].name}", None
            value = initializer(graph, name, np.asarray(known))
            node.outputs[0].replace_all_uses_with(value)
            graph.remove(node, safe=True)
            folded += 1
    if folded:
        remove_unused(graph)
    return folded


_MOST = 1 << 24
"""Numbers of a constant that is worth computing: a few bytes may ask for terabytes."""


def _is_small(node: ir.Node) -> bool:
    sizes = dims(node.outputs[0])
    if sizes is None or None in sizes:
        return node.op_type not in ("Expand", "Range")
    return math.prod(size for size in sizes if size is not None) <= _MOST


def _static_shape(node: ir.Node) -> np.ndarray | None:
    """Return what a Shape, or a Gather from a Shape, yields if those sizes are known."""
    if node.domain != "" or node.outputs[0].is_graph_output():
        return None
    if node.op_type == "Shape":
        sizes = _sizes(node)
        return None if sizes is None or None in sizes else np.array(sizes, np.int64)
    behind = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    index = constant(node.inputs[1]) if node.op_type == "Gather" else None
    if behind is None or behind.op_type != "Shape" or index is None:
        return None
    sizes = _sizes(behind)
    wanted = [int(i) for i in index.reshape(-1)]
    if sizes is None or any(not -len(sizes) <= i < len(sizes) for i in wanted):
        return None
    chosen = [sizes[i] for i in wanted]
    return None if None in chosen else np.array(chosen, np.int64).reshape(index.shape)


def _sizes(node: ir.Node) -> list[int | None] | None:
    shape = dims(node.inputs[0])
    if shape is None:
        return None
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(shape))
    return shape[start:end]


def _evaluate(node: ir.Node, inputs: list[np.ndarray], model: ir.Model) -> np.ndarray | None:
    import onnx
    from onnx.reference import ReferenceEvaluator

    names = [str(value.name) for value in node.inputs if value is not None]
    graph = onnx.helper.make_graph(
        [ir.to_proto(node)],
        "constant",
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in zip(names, inputs, strict=True)
        ],
        [onnx.ValueInfoProto(name=node.outputs[0].name)],
    )
    opset = onnx.helper.make_opsetid("", model.opset_imports[""])
    try:
        evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=[opset]))
        result = evaluator.run(None, dict(zip(names, inputs, strict=True)))
    except Exception as error:  # each operator of the evaluator raises what it likes
        _log.info("%s is not computed: %s", where(node), error)
        return None
    assert isinstance(result, list)
    return np.asarray(result[0])


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
