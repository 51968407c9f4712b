"""The work of operators: multiply-accumulates of layers, and elements of what is written."""

import math

import onnx_ir as ir

from spiq.graph.query import dims, is_constant, stored_shape


def macs(node: ir.Node) -> int | None:
    """Return the multiply-accumulates of a layer, or of a product of two tensors, for one image.

    None where a size is dynamic.
    """
    sizes, weight = positions(node), node.inputs[1]
    count = math.prod(stored_shape(weight)) if is_constant(weight) else _row(node)
    known = [size for size in sizes if size is not None]
    return None if count is None or len(known) < len(sizes) else count * math.prod(known)


def elements(value: ir.Value) -> int | None:
    """Return how many numbers a tensor holds for one image; None where a size is open."""
    shape = dims(value)
    if shape is None or any(size is None for size in shape[1:]):
        return None
    return math.prod(size or 1 for size in shape[1:])


def positions(node: ir.Node) -> list[int | None]:
    """Return sizes whose product is how often a layer meets its weight, for one image.

    An image (N, C, H, W) or tokens (N, T, C): all but the batch and the channels.
    """
    if node.op_type == "Gemm":
        return _tokens(node)
    shape = dims(node.inputs[0] if node.op_type == "ConvTranspose" else node.outputs[0])
    if shape is None:
        return [None]
    return shape[1:-1] if node.op_type == "MatMul" else shape[2:]


def _tokens(node: ir.Node) -> list[int | None]:
    """Return how many rows of a Gemm belong to one image: 1, or its tokens (N, T, C)."""
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    shape = dims(before.inputs[0]) if before is not None and before.op_type == "Reshape" else None
    rows = dims(node.inputs[0])
    if shape is None or len(shape) < 3 or rows is None or shape[-1] != rows[-1]:
        return [1]
    return [_windows(node, shape[0]), *shape[1:-1]]


def _windows(node: ir.Node, first: int | None) -> int:
    """Return how many windows of one image lie along the first axis, beside the batch."""
    given = node.graph.inputs if node.graph is not None else ()
    batch = next((sizes[0] for value in given if (sizes := dims(value))), None)
    return first // batch if first and batch else 1


def _row(node: ir.Node) -> int | None:
    """Return the multiplications of one row of a product of two tensors."""
    left, right = dims(node.inputs[0]), dims(node.inputs[1])
    if not left or not right or left[-1] is None or right[-1] is None:
        return None
    return left[-1] * right[-1] * _windows(node, left[0])
