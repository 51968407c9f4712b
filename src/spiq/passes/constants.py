"""Compute now what depends on constants and on known sizes alone.

Weights are often computed in the graph: weight norm, standardized weights, kernels padded to a
larger size, integers that are made floats again; exporters leave the arithmetic of shapes. ONNX's
reference implementation computes each node whose inputs are all constants. Only what is inferred of
shapes counts, see :mod:`spiq.graph.shapes`.
"""

import logging
import math

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.edit import initializer, remove_unused, replace
from spiq.graph.query import constant, dims, is_constant, where
from spiq.graph.shapes import infer

_log = logging.getLogger(__name__)

_KEPT = frozenset({"Bernoulli", "Multinomial", "Optional", "RandomNormalLike", "RandomUniformLike",
                   "SequenceConstruct", "SplitToSequence"})  # fmt: skip
"""Operators that are not to be computed: of chance, and of other types than tensors."""

_QUANTIZED_BY = (("axis", 1), ("block_size", 0))
"""Attributes of DequantizeLinear, and their defaults."""

_SIZED_BY_NUMBERS = frozenset({"CenterCropPad", "ConstantOfShape", "Expand", "NonZero", "OneHot",
                               "Pad", "Range", "Resize", "Tile"})  # fmt: skip
"""Operators whose inputs' numbers say how large the result is."""

_SMALL, _MOST, _GROWTH = 1 << 16, 1 << 24, 4
"""Numbers of a constant that is always worth computing; numbers at most of one that is larger than
what it is computed from (a few bytes may ask for terabytes), and how much larger."""

_PRODUCT = 1 << 21
"""Numbers of a product of two constants that is worth computing: networks of relative positions
(Swin v2) multiply a table of 225 to 2209 places by 512 columns, of which 3 to 32 are left."""


def resolve_shapes(model: ir.Model) -> int:
    """Compute exporters' arithmetic now, as far as constants and sizes are known.

    Each Reshape that becomes static makes more sizes known behind it, so this goes on until
    nothing changes.
    """
    total = 0
    while changed := sum(step(model) for step in _STEPS):
        total += changed
        remove_unused(model.graph)
        infer(model)
    return total


def sizes_in_lists(model: ir.Model) -> int:
    """Write a Reshape of one size to a list of it as Unsqueeze.

    ONNX's inference follows sizes through that and not through a Reshape; PyTorch's exporter makes
    its lists of sizes so, and all behind an open batch would be unknown.
    """
    changed = 0
    for node in model.graph:
        if node.op_type != "Reshape" or node.domain != "" or dims(node.inputs[0]) != []:
            continue
        target, size = constant(node.inputs[1]), node.inputs[0]
        if target is None or size is None or size.dtype != ir.DataType.INT64:
            continue
        if target.shape == (1,):
            axes = initializer(model.graph, f"{node.outputs[0].name}_axes", np.zeros(1, np.int64))
            replace(node, ir.node("Unsqueeze", [size, axes], name=node.name))
            changed += 1
    return changed


def static_reshapes(model: ir.Model) -> int:
    """Give a Reshape by a computed shape a constant one: 0 keeps the batch, -1 one unknown size."""
    changed = 0
    for node in model.graph:
        if node.op_type != "Reshape" or node.domain != "" or is_constant(node.inputs[1]):
            continue
        before, after = node.inputs[0], node.outputs[0]
        sizes = dims(after)
        if sizes is None or before is None or 0 in sizes:
            continue
        if sizes and sizes[0] is None and _same_batch(before, after):
            sizes[0] = 0
        if sum(size is None for size in sizes) > 1:
            continue
        node.attributes.pop("allowzero", None)  # where 0 is one, and none is here
        target = np.array([-1 if size is None else size for size in sizes], np.int64)
        node.replace_input_with(1, initializer(model.graph, f"{after.name}_shape", target))
        changed += 1
    return changed


def static_expands(model: ir.Model) -> int:
    """Give an Expand by a computed shape a constant one where its result's sizes are known.

    Masks of causal attention are made of the sizes of scores, whose batch alone is open.
    """
    changed = 0
    for node in model.graph:
        if node.op_type != "Expand" or node.domain != "" or is_constant(node.inputs[1]):
            continue
        sizes, name = dims(node.outputs[0]), str(node.outputs[0].name)
        if sizes is None or None in sizes:
            continue
        target = np.array(sizes, np.int64)
        node.replace_input_with(1, initializer(model.graph, f"{name}_shape", target))
        changed += 1
    return changed


def _same_batch(before: ir.Value, after: ir.Value) -> bool:
    """Return whether both have the same unknown size first: one by the same name."""
    if not before.shape or not after.shape:
        return False
    first, second = before.shape[0], after.shape[0]
    named = isinstance(first, ir.SymbolicDim) and first.value is not None
    return named and first == second


def fold_constants(model: ir.Model) -> int:
    """Replace nodes whose inputs are all constant by their values.

    A node that cannot be computed stays as it is: the runtime has the last word.
    """
    graph, folded = model.graph, 0
    for node in list(graph):
        known = _values(node, model)
        if known is None:
            continue
        for result, array in zip(node.outputs, known, strict=True):
            if result.uses():
                name, result.name = str(result.name), None
                result.replace_all_uses_with(initializer(graph, name, array))
        graph.remove(node, safe=True)
        folded += 1
    if folded:
        remove_unused(graph)
    return folded


def _values(node: ir.Node, model: ir.Model) -> list[npt.NDArray[np.generic]] | None:
    """Return what a node computes, if that is known without the network's input."""
    if node.domain != "" or any(value.is_graph_output() for value in node.outputs):
        return None
    sizes = _static_shape(node)
    if sizes is not None:
        return [sizes]
    given = _read_numbers(node)
    bodies = any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for attribute in node.attributes.values()
    )
    if node.op_type in _KEPT or bodies or not given or not all(map(is_constant, given)):
        return None
    if not _is_worth_it(node, given):
        return None
    return _dequantized(node) if node.op_type == "DequantizeLinear" else _evaluated(node, model)


def _read_numbers(node: ir.Node) -> list[ir.Value]:
    """Return the inputs whose numbers a node reads: of what a CastLike follows, the type alone."""
    given = [value for value in node.inputs if value is not None]
    followed = given[1].dtype if node.op_type == "CastLike" and len(given) > 1 else None
    return given if followed is None else given[:1]


def _is_worth_it(node: ir.Node, given: list[ir.Value]) -> bool:
    before = sum(math.prod(size or 0 for size in dims(value) or [1]) for value in given)
    count = 0
    for value in node.outputs:
        sizes = dims(value)
        if sizes is None or None in sizes:
            return node.op_type not in _SIZED_BY_NUMBERS and before <= _SMALL
        count += math.prod(size or 0 for size in sizes)
    if node.op_type in ("Gemm", "MatMul") and count <= _PRODUCT:
        return True
    return count <= max(_SMALL, before) or count <= min(_MOST, _GROWTH * before)


def _static_shape(node: ir.Node) -> npt.NDArray[np.int64] | None:
    """Return what a Shape, or a Gather from a Shape, yields if those sizes are known."""
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


def _dequantized(node: ir.Node) -> list[npt.NDArray[np.generic]] | None:
    """Return (x - zero) scale of constants: of any opset, which the evaluator has not."""
    x, scale, *zeros = (constant(value) for value in node.inputs)
    if x is None or scale is None:
        return None
    zero = np.zeros(()) if not zeros or zeros[0] is None else zeros[0]
    axis, block = (node.attributes.get_int(name, own) for name, own in _QUANTIZED_BY)

    def spread(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        if block and array.ndim == x.ndim:
            return np.repeat(array, block, axis).take(range(x.shape[axis]), axis)
        along = [-1 if index == axis % x.ndim else 1 for index in range(x.ndim)]
        return array.reshape(along) if array.size > 1 else array.reshape(())

    offset = x.astype(np.float32) - spread(zero).astype(np.float32)
    return [(offset * spread(scale).astype(np.float32)).astype(scale.dtype)]


def _evaluated(node: ir.Node, model: ir.Model) -> list[npt.NDArray[np.generic]] | None:
    import onnx
    from onnx.reference import ReferenceEvaluator

    arrays = {str(value.name): _array(value) for value in node.inputs if value is not None}
    graph = onnx.helper.make_graph(
        [ir.to_proto(node)],
        "constant",
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in arrays.items()
            if array is not None
        ],
        [onnx.ValueInfoProto(name=value.name) for value in node.outputs if value.name],
    )
    opset = onnx.helper.make_opsetid("", model.opset_imports[""])
    try:
        with np.errstate(all="ignore"):
            evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=[opset]))
            found = evaluator.run(None, arrays)
        results = dict(zip((output.name for output in graph.output), found, strict=True))
        return [_checked(results.get(value.name), value) for value in node.outputs]
    except Exception as error:  # each operator of the evaluator raises what it likes
        _log.info("%s is not computed: %s", where(node), error)
        return None


def _array(value: ir.Value) -> npt.NDArray[np.generic] | None:
    """Return a constant's numbers, of anything else one of its type."""
    if is_constant(value) or value.dtype is None:
        return constant(value)
    return np.zeros((), value.dtype.numpy())


def _checked(found: object, value: ir.Value) -> npt.NDArray[np.generic]:
    """Return what was computed for a value.

    Raises:
        TypeError: It is not of the type that the graph says.
    """
    array = np.asarray(found)
    if value.name and value.dtype is not None and array.dtype != value.dtype.numpy():
        raise TypeError(f"{value.name} is {array.dtype}, not {value.dtype}")
    return array


_STEPS = (fold_constants, static_reshapes, static_expands, sizes_in_lists)
