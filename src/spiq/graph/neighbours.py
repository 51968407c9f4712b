"""Which inputs say what rows a network sums up: adjacency matrices of graphs.

    y = A x    for A (..., n, n) an input, and x (..., n, c) what the network makes of another one.

Most are normalized, D^-1 (A + I) or D^-1/2 (A + I) D^-1/2: a row sums to about 1, and of k
neighbours each has 1/k. So the entries have mean 1/n and power 1/(k n), whatever n. Shown numbers
of mean 0 and deviation 1 as other inputs are, y has n k times the power, in each layer anew: three
layers on random graphs of 17 to 200 rows had -44 to -6 dB, and 12 to 22 with what is said here.
"""

from collections.abc import Iterator, Mapping

import onnx_ir as ir

from spiq.graph.query import dims, holds_floats, is_constant, sole_consumer

_NEIGHBOURS = 3.0
"""Neighbours of a row. A judgement: molecules and skeletons have 2 to 4 with themselves. With 2,
the same graphs had 8 to 19 dB; those of networks that sum neighbours up, each with 1, 0 to 5, and
-1 to 3 with 3."""

_POSES = 4
"""Rows of a rotation or a camera's matrix, which is no graph."""

_OPEN = 64
"""Rows where their number is open."""

_AROUND = frozenset({"Cast", "Identity", "Unsqueeze", "Squeeze", "Expand"})
"""What may stand between an input and the product."""

_TO_SOFTMAX = frozenset({"Add", "Cast", "Div", "Mul", "Reshape", "Where"})
"""What may stand between the product of queries and keys and their Softmax."""


def adjacencies(graph: ir.Graph) -> Mapping[str, tuple[float, float]]:
    """Return the mean and the deviation of the entries of each such input, by name."""
    found: dict[str, tuple[float, float]] = {}
    for value in graph.inputs:
        shape, named = dims(value) or [], list(value.shape or ())
        square = len(shape) in (2, 3) and named[-1] == named[-2]
        if (
            square
            and (shape[-1] or _OPEN) > _POSES
            and holds_floats(value)
            and all(_read_from_the_left(value))
        ):
            rows = shape[-1] or _OPEN
            power = 1 / (_NEIGHBOURS * rows)
            found[str(value.name)] = 1 / rows, max(power - 1 / rows**2, power / 4) ** 0.5
    return found


def _read_from_the_left(value: ir.Value) -> Iterator[bool]:
    """Yield, for each reader, whether it is a product whose other operand is no weight."""
    if not value.uses():
        yield False
    for node, place in value.uses():
        if node.op_type in _AROUND:
            yield from _read_from_the_left(node.outputs[0])
        else:
            product = node.op_type == "MatMul" and place == 0 and not is_constant(node.inputs[1])
            yield product and not _are_scores(node)


def _are_scores(product: ir.Node) -> bool:
    """Return whether a product is one of queries and keys: a Softmax reads it."""
    result = product.outputs[0]
    while (reader := sole_consumer(result)) is not None and reader.op_type in _TO_SOFTMAX:
        result = reader.outputs[0]
    return any(node.op_type == "Softmax" for node in result.consumers())
