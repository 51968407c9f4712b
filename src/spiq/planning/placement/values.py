"""What is decided about where integers begin and end, and the kinds of operators there are."""

from dataclasses import dataclass, field

import onnx_ir as ir

from spiq.graph.query import constant, data_inputs, dims, is_constant, sole_consumer
from spiq.planning.placement.components import Ids

LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators that multiply by a weight, where a target runs them on integers."""

ROUNDS = frozenset({"Conv", "Gemm", "MatMul", "Add", "Mul", "BatchNormalization", "AveragePool",
                    "GlobalAveragePool", "HardSigmoid", "LeakyRelu", "Sigmoid"})  # fmt: skip
"""Integer operators that write on a grid of their own."""

GATES = frozenset({"HardSigmoid", "Sigmoid"})
"""Integer operators that take real units and give a factor from 0 to 1."""

FREE = frozenset({"Conv", "Gemm", "MatMul", "BatchNormalization"})
"""Integer operators that take any channel scale on either side: it folds into their weights."""


def is_layer(node: ir.Node) -> bool:
    """Return whether a node multiplies by a constant weight."""
    return node.op_type in LAYERS and is_constant(node.inputs[1])


def is_product(node: ir.Node) -> bool:
    """Return whether a node multiplies two matrices that both depend on the network's input."""
    return node.op_type == "MatMul" and node.domain == "" and len(data_inputs(node)) == 2


def is_repeated(value: ir.Value, beside: ir.Value) -> bool:
    """Return whether an operand is smaller than the one beside it: one number for many of its."""
    sizes, others = dims(value), dims(beside)
    if sizes is None or others is None or len(sizes) != len(others):
        return False
    fewer = [size == 1 and other != 1 for size, other in zip(sizes, others, strict=True)]
    alike = [size == other for size, other in zip(sizes, others, strict=True)]
    return any(fewer) and all(a or b for a, b in zip(fewer, alike, strict=True))


@dataclass
class Placement:
    """What runs on integers, and what shares a grid or a channel scale.

    Attributes:
        integer: Nodes that run on integers, in order.
        absorbed: Activations that the grid behind them stands for; they are removed.
        grids: For each stored tensor, the number of its grid; equal numbers, one grid.
        classes: For each stored tensor, the number of the class of each of its channels, in the
            tensor's layout.
        pinned: Classes whose channel scale is 1.
        reasons: Why a layer stays in float, by node.
        shortcuts: Operators in float that read what is stored as integers, and not as it was.
    """

    integer: dict[ir.Node, None] = field(default_factory=dict)
    absorbed: dict[ir.Node, None] = field(default_factory=dict)
    grids: dict[ir.Value, int] = field(default_factory=dict)
    classes: dict[ir.Value, Ids] = field(default_factory=dict)
    pinned: frozenset[int] = frozenset()
    reasons: dict[ir.Node, str] = field(default_factory=dict)
    shortcuts: dict[ir.Node, None] = field(default_factory=dict)

    def stored_output(self, value: ir.Value) -> ir.Value:
        """Return the tensor that is stored for ``value``: behind an absorbed activation, if any."""
        after = sole_consumer(value)
        return after.outputs[0] if after is not None and after in self.absorbed else value

    def bound(self, value: ir.Value) -> float | None:
        """Return the upper bound that the end of a stored tensor's grid stands for, as of ReLU6."""
        clip = value.producer()
        if clip is None or clip not in self.absorbed or len(clip.inputs) < 3:
            return None
        bound = constant(clip.inputs[2])
        return None if bound is None else float(bound)
