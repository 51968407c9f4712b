"""Activations of ONNX Runtime's own domain, which its optimizer writes, in ONNX's operators.

Gelu x, BiasGelu x b        x Phi(x), of x + b       by Erf
FastGelu x [b]              the same                 by Tanh
QuickGelu x                 x sigmoid(alpha x)       by Sigmoid

ONNX's inference knows none of them, so that types and sizes ended there, and with them the
integers.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, replace, unique_name

_DOMAIN = "com.microsoft"
_ALPHA = 1.702


class _Writer:
    """Writes nodes in front of one, whose place the last of them takes."""

    def __init__(self, graph: ir.Graph, node: ir.Node) -> None:
        self.graph, self.node, self.count = graph, node, 0

    def __call__(self, operator: str, *operands: ir.Value | float) -> ir.Value:
        self.count += 1
        name = unique_name(self.graph, f"{self.node.outputs[0].name}_step{self.count}")
        given = [
            initializer(self.graph, unique_name(self.graph, f"{name}_by"), np.array(x, np.float32))
            if isinstance(x, float)
            else x
            for x in operands
        ]
        made = ir.node(operator, given, name=name)
        made.outputs[0].name = name
        self.graph.insert_before(self.node, made)
        return made.outputs[0]


def spell_contributed(model: ir.Model) -> int:
    """Write them so, in place; return how many there were."""
    found = [n for n in model.graph if n.domain == _DOMAIN and n.op_type in _GATES and n.inputs[0]]
    for node in found:
        write = _Writer(model.graph, node)
        x, *others = (value for value in node.inputs if value is not None)
        x = write("Add", x, others[0]) if others else x
        gate = _GATES[node.op_type](node, write, x)
        replace(node, ir.node("Mul", [x, gate], name=node.name))
    return len(found)


def _by_erf(node: ir.Node, write: _Writer, x: ir.Value) -> ir.Value:
    share = write("Add", write("Erf", write("Mul", x, 0.5**0.5)), 1.0)
    return write("Mul", share, 0.5)


def _by_tanh(node: ir.Node, write: _Writer, x: ir.Value) -> ir.Value:
    cube = write("Mul", write("Mul", x, x), x)
    inner = write("Add", x, write("Mul", cube, 0.044715))
    share = write("Add", write("Tanh", write("Mul", inner, (2 / np.pi) ** 0.5)), 1.0)
    return write("Mul", share, 0.5)


def _by_sigmoid(node: ir.Node, write: _Writer, x: ir.Value) -> ir.Value:
    return write("Sigmoid", write("Mul", x, node.attributes.get_float("alpha", _ALPHA)))


_GATES = {
    "BiasGelu": _by_erf, "FastGelu": _by_tanh, "Gelu": _by_erf, "QuickGelu": _by_sigmoid,
}  # fmt: skip
