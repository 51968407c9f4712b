"""Whether a network plausibly had BatchNormalization before it was exported.

Whoever folds it leaves a bias in every convolution, and nothing between that and the activation.
Transformers have biased convolutions, too (patches, positions, mixers of a few tokens), but with
their LayerNorm beside them, and fewer than of that. So it is told by convolutions with a bias that
no normalization stands beside, data movers and activations aside, if there are more of them than
there are normalizations. Those that are spelled out count, too: a division by the root of a mean.
"""

from collections.abc import Callable, Iterable

import onnx_ir as ir

from spiq.graph.query import data_inputs, is_constant

_NORMS = frozenset({"GroupNormalization", "InstanceNormalization", "LayerNormalization",
                    "LpNormalization", "MeanVarianceNormalization",
                    "RMSNormalization"})  # fmt: skip
_ROOTS, _INVERSES = frozenset({"Pow", "Sqrt"}), frozenset({"Reciprocal"})
_LOOKED_PAST = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose",
                          "Unsqueeze"})  # fmt: skip


def may_have_had_batchnorm(graph: ir.Graph) -> bool:
    """Return whether BatchNormalization was probably folded into the layers of a network.

    Args:
        graph: The prepared network, of which nothing is stated any more.
    """
    norms = sum(_is_norm(node) for node in graph)
    biased = [n for n in graph if n.op_type == "Conv" and len(n.inputs) > 2 and n.inputs[2]]
    return sum(not _beside_norm(node) for node in biased) > norms


def has_norms(graph: ir.Graph) -> bool:
    """Return whether a network normalizes anything by itself: it was not trained bare."""
    return any(_is_norm(node) for node in graph)


def _is_norm(node: ir.Node) -> bool:
    return node.op_type in _NORMS or _divides_by_deviation(node)


def _divides_by_deviation(node: ir.Node) -> bool:
    """Return whether a node is the division of a normalization that is spelled out.

    That is by the root of a mean, epsilon added: x / Sqrt(m + e), or times its inverse.
    """
    below = node.inputs[1:] if node.op_type == "Div" else node.inputs
    roots = [_producer(value) for value in below if node.op_type in ("Div", "Mul")]
    inverse = [_producer(root.inputs[0]) for root in roots if root and root.op_type in _INVERSES]
    return any(
        root is not None and root.op_type in _ROOTS and _is_mean(_producer(root.inputs[0]))
        for root in (*roots, *inverse)
    )


def _centres(node: ir.Node) -> bool:
    """Return whether a node takes off what is computed, as a normalization does its mean."""
    return node.op_type == "Sub" and len(data_inputs(node)) == 2


def _is_mean(node: ir.Node | None) -> bool:
    """Return whether a node is a mean, a constant added or a bound aside."""
    if node is not None and node.op_type in ("Add", "Clip", "Max"):
        return any(_is_mean(_producer(v)) for v in node.inputs if not is_constant(v))
    return node is not None and node.op_type == "ReduceMean"


def _producer(value: ir.Value | None) -> ir.Node | None:
    return None if value is None else value.producer()


def _beside_norm(conv: ir.Node) -> bool:
    before = _reached(_producers([conv]), lambda node: _producers([node]))
    return before or normalized_behind(conv)


def normalized_behind(layer: ir.Node) -> bool:
    """Return whether a normalization stands behind a layer: the size of its biases is then free."""
    return _reached(layer.outputs[0].consumers(), lambda node: list(node.outputs[0].consumers()))


def _reached(front: Iterable[ir.Node], onward: Callable[[ir.Node], list[ir.Node]]) -> bool:
    """Return whether a normalization is reached from some nodes by way of movers alone."""
    waiting = list(front)
    while waiting:
        node = waiting.pop()
        if _is_norm(node):
            return True
        if node.op_type in _LOOKED_PAST or _centres(node):
            waiting += onward(node)
    return False


def _producers(nodes: Iterable[ir.Node]) -> list[ir.Node]:
    sources = [node.inputs[0].producer() for node in nodes if node.inputs and node.inputs[0]]
    return [node for node in sources if node is not None]
