"""Whether a network plausibly had BatchNormalization before it was exported.

Whoever folds it leaves a bias in every convolution, and nothing between that and the activation.
Transformers have biased convolutions, too (patches, positions, mixers of a few tokens), but with
their LayerNorm beside them, and fewer than of that. So it is told by convolutions with a bias that
no normalization stands beside, data movers and activations aside, if there are more of them than
there are normalizations.
"""

from collections.abc import Callable, Iterable

import onnx_ir as ir

_NORMS = frozenset({"GroupNormalization", "InstanceNormalization", "LayerNormalization",
                    "LpNormalization", "MeanVarianceNormalization",
                    "RMSNormalization"})  # fmt: skip
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
    return node.op_type in _NORMS


def _beside_norm(conv: ir.Node) -> bool:
    before = _reached(_producers([conv]), lambda node: _producers([node]))
    behind = _reached(conv.outputs[0].consumers(), lambda node: list(node.outputs[0].consumers()))
    return before or behind


def _reached(front: Iterable[ir.Node], onward: Callable[[ir.Node], list[ir.Node]]) -> bool:
    """Return whether a normalization is reached from some nodes by way of movers alone."""
    waiting = list(front)
    while waiting:
        node = waiting.pop()
        if _is_norm(node):
            return True
        if node.op_type in _LOOKED_PAST:
            waiting += onward(node)
    return False


def _producers(nodes: Iterable[ir.Node]) -> list[ir.Node]:
    sources = [node.inputs[0].producer() for node in nodes if node.inputs and node.inputs[0]]
    return [node for node in sources if node is not None]
