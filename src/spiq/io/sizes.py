"""Whether what layers multiply by and add fits what they read, and is of a sane size.

Only what ONNX's inference leaves open and the statistics would stumble over; the rest is left to
the runtime, which refuses it in the end. A size that is not known fits.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from spiq.errors import ModelError
from spiq.graph.query import constant, dims, ints, shown
from spiq.io.checks import describe

Size = int | None
Rule = Callable[[ir.Node], str | None]
"""Says what is wrong with a node; None where nothing is."""

_HUGE = 1 << 31
"""No whole number that an operator has as an attribute is as large as this."""

_STEP, _WIDTH = 1 << 13, 1 << 17
"""Nor is a stride, dilation or padding as large as the first, or a window as the second."""

_LARGEST = 1e15
"""No training leaves larger parameters; their products stay far from the end of float32."""

_PARAMETERS = {
    "BatchNormalization": (1, 2, 3, 4),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (1,),
}
_SCALED = (*_PARAMETERS, "LeakyRelu")


def sizes(model: ir.Model, *, where: str) -> None:
    """Check that the sizes of every operator's inputs and attributes fit each other.

    Args:
        model: The model, shapes inferred.
        where: The model's name for messages.

    Raises:
        ModelError: Some do not; the node is named.
    """
    for node in model.graph.all_nodes():
        for rule in _RULES.get(node.op_type, ()) if node.domain == "" else ():
            problem = rule(node)
            if problem is not None:
                raise ModelError(
                    f"{where}: {describe(node)} {problem}: "
                    f"{_ELSEWHERE.get(rule, 'the file is damaged, export it again')}"
                )


def magnitudes(model: ir.Model, *, where: str) -> None:
    """Refuse parameters that no training leaves, whose products are beyond all numbers.

    Raises:
        ModelError: There are some; node and tensor are named.
    """
    for node in model.graph.all_nodes():
        if node.domain != "":
            continue
        for value in _given(node, _PARAMETERS.get(node.op_type, ())):
            largest = _beyond(constant(value))
            if largest is not None:
                raise ModelError(
                    f"{where}: {describe(node)} has numbers of up to {largest:.3g} in tensor "
                    f"{value.name!r}: the weights are damaged, export them again"
                )
        for attribute in node.attributes.values():
            if not _is_sane(attribute, _LARGEST if node.op_type in _SCALED else np.inf):
                raise ModelError(
                    f"{where}: {describe(node)} has {attribute.name} = {attribute.value}: the file "
                    "is damaged, export it again"
                )


def _is_sane(attribute: ir.Attr, largest: float) -> bool:
    if attribute.type == ir.AttributeType.FLOAT:
        return abs(attribute.as_float()) <= largest  # which NaN is not
    if attribute.type == ir.AttributeType.INT:
        return abs(attribute.as_int()) < _HUGE  # operators take it for one of 32 bits
    return True


def _beyond(array: np.ndarray | None) -> float | None:
    """Return the largest magnitude of an array where it is no training's."""
    if array is None or array.dtype.kind != "f" or not array.size:
        return None
    flat = array.reshape(-1)
    with np.errstate(all="ignore"):  # at the speed of memory, as in checks.finite
        if np.dot(flat, flat) <= _LARGEST**2:
            return None
    largest = float(np.abs(flat).max())
    return largest if largest > _LARGEST else None


def _given(node: ir.Node, places: tuple[int, ...]) -> list[ir.Value]:
    values = [node.inputs[place] for place in places if place < len(node.inputs)]
    return [value for value in values if value is not None]


def _differ(first: Size, second: Size) -> bool:
    return first is not None and second is not None and first != second


# Rules


def _window(node: ir.Node) -> str | None:
    for name, least, beyond in (
        ("strides", 1, _STEP),
        ("dilations", 1, _STEP),
        ("kernel_shape", 1, _WIDTH),
        ("pads", 0, _STEP),
    ):
        numbers = ints(node, name, [])
        if any(not least <= number < beyond for number in numbers):
            return f"has the {name} {numbers}"
    left = [size for size in dims(node.outputs[0]) or [] if size is not None and size < 0]
    return f"has a window wider than what it reads: {left[0]} are left of it" if left else None


def _convolution(node: ir.Node) -> str | None:
    data, weight = dims(node.inputs[0]), dims(node.inputs[1])
    groups, kernel = node.attributes.get_int("group", 1), ints(node, "kernel_shape", [])
    if weight is None:
        return None
    if groups < 1 or len(weight) < 3 or 0 in weight or (weight[0] or 0) % groups:
        return f"has {groups} groups and a weight of shape {weight}"
    if kernel and (len(kernel) != len(weight) - 2 or any(map(_differ, kernel, weight[2:]))):
        return f"has the kernel_shape {kernel} and a weight of shape {weight}"
    across = None if weight[1] is None else weight[1] * groups
    channels, outputs = (across, weight[0]) if node.op_type == "Conv" else (weight[0], across)
    if data is not None and (len(data) != len(weight) or _differ(data[1], channels)):
        given = shown(node.inputs[0])
        return f"has {groups} groups and a weight of shape {weight} for an input of shape {given}"
    return _vectors(node, (2,), outputs)


def _vectors(node: ir.Node, places: tuple[int, ...], size: Size) -> str | None:
    for value in _given(node, places):
        shape = dims(value)
        if shape is not None and (len(shape) != 1 or _differ(shape[0], size)):
            return f"has {value.name!r} of shape {shown(value)} for {size} channels"
    return None


def _norm(node: ir.Node) -> str | None:  # which the inference leaves open before opset 14
    data, gamma = dims(node.inputs[0]), dims(node.inputs[1])
    channels = data[1] if data is not None and len(data) > 1 else None
    return _vectors(node, (1, 2, 3, 4), channels or (gamma[0] if gamma else None))


def _gemm(node: ir.Node) -> str | None:
    weight = dims(node.inputs[1])
    if weight is None or len(weight) != 2 or 0 in weight:
        return None if weight is None else f"has a weight of shape {weight}"
    outputs = weight[0 if node.attributes.get_int("transB", 0) else 1]
    bias = dims(node.inputs[2]) if len(node.inputs) > 2 else None
    if bias and (len(bias) > 2 or (bias[-1] != 1 and _differ(bias[-1], outputs))):
        return f"has a bias of shape {bias} for {outputs} outputs"
    return None


def _slope(node: ir.Node) -> str | None:
    data, slope = dims(node.inputs[0]), dims(node.inputs[1])
    if data is None or slope is None:
        return None
    pairs = zip(slope[::-1], data[::-1], strict=False)
    if len(slope) > len(data) or any(size != 1 and _differ(size, there) for size, there in pairs):
        return f"has a slope of shape {slope} for an input of shape {shown(node.inputs[0])}"
    return None


def _permutation(node: ir.Node) -> str | None:
    shape, order = dims(node.inputs[0]), ints(node, "perm", [])
    if order and shape is not None and len(order) != len(shape):
        return f"permutes {len(order)} dimensions of an input of shape {shown(node.inputs[0])}"
    return None


def _numbers(node: ir.Node) -> str | None:
    for value in _given(node, (1, 2) if node.op_type == "Clip" else (0, 1, 2)):
        shape = dims(value)
        if shape not in (None, [], [1], [None]):
            return f"takes a single number, but {value.name!r} has the shape {shown(value)}"
    return None


def _bounds(node: ir.Node) -> str | None:
    ends = [-np.inf, np.inf]
    for place, end in enumerate(map(constant, node.inputs[1:3])):
        if end is not None and end.size:
            ends[place] = float(end.reshape(-1)[0])
    low, high = ends
    if not low <= high or low == np.inf or high == -np.inf:
        return f"clips to values from {low:g} to {high:g}"
    return None


def _indices(node: ir.Node) -> str | None:
    shape, chosen = dims(node.inputs[0]), constant(node.inputs[1])
    axis = node.attributes.get_int("axis", 0)
    if not shape or chosen is None or not -len(shape) <= axis < len(shape):
        return None
    size = shape[axis]
    if size is not None and chosen.size and not (-size <= chosen.min() and chosen.max() < size):
        return f"reads places {chosen.min()} to {chosen.max()} of {size}"
    return None


_RULES: dict[str, tuple[Rule, ...]] = {
    "AveragePool": (_window,),
    "BatchNormalization": (_norm,),
    "Clip": (_numbers, _bounds),
    "Conv": (_window, _convolution),
    "ConvTranspose": (_window, _convolution),
    "Gather": (_indices,),
    "Gemm": (_gemm,),
    "LpPool": (_window,),
    "MaxPool": (_window,),
    "PRelu": (_slope,),
    "Range": (_numbers,),
    "Transpose": (_permutation,),
}

_ELSEWHERE: dict[Rule, str] = {
    _slope: "ONNX Runtime cannot run it, since slopes are aligned from the last dimension: export "
    "slopes per channel with a 1 for each dimension behind them"
}
"""What to do where a file may be right elsewhere, but not for the runtime."""
