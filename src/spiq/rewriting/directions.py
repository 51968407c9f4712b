"""Layers whose zeros have to stay zeros, since what they make is divided by its own norm.

    k = W x,    k / max(|k|, eps)    is 0 for x = 0, and of length 1 for any bias, however small.

Windows of attention that do not fit are padded with zeros, and where attention is by cosines (Swin
v2) the keys have no bias: a correction of it, right for the mean of what is there, made keys of the
padding that point anywhere. torchvision's Swin v2 had 2.4 dB by it, at its usual size.
"""

from collections.abc import Callable, Iterable

import onnx_ir as ir

from spiq.graph.operators import MOVING

_NORMS = frozenset({"LpNormalization", "ReduceL2", "ReduceSumSquare"})


def keeps_zeros(layer: ir.Node) -> bool:
    """Return whether a layer meets padding, and its output is divided by its norm."""
    return _reaches([layer], _before, "Pad") and _reaches([layer], _behind, *_NORMS)


def _before(node: ir.Node) -> Iterable[ir.Node | None]:
    return [value.producer() for value in node.inputs[:1] if value is not None]


def _behind(node: ir.Node) -> Iterable[ir.Node | None]:
    return [reader for value in node.outputs for reader in value.consumers()]


def _reaches(
    starts: list[ir.Node], step: Callable[[ir.Node], Iterable[ir.Node | None]], *operators: str
) -> bool:
    """Return whether one of these operators is next, movers between passed."""
    waiting, seen = [*starts], set[ir.Node]()
    while waiting:
        for node in step(waiting.pop()):
            if node is None or node in seen:
                continue
            if node.op_type in operators:
                return True
            seen.add(node)
            if node.op_type in MOVING:
                waiting.append(node)
    return False
