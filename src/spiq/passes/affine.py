"""Steps per channel, x a + b, that lie behind an activation.

1. A positive factor changes places with the ReLU in front of it, a max(y, 0) = max(a y, 0), and
   folds into the layer in front of that (:mod:`spiq.passes.batchnorm`).
2. What is left of a chain of steps behind a convolution and its activations, as in HGNetV2's and
   MetaFormer's learned affine blocks, is written as a BatchNormalization of mean 0 and variance 1:
   on integers that is a 1x1 depthwise convolution, in float one operator in the place of two. It
   states no moments.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, replace
from spiq.graph.operators import ACTIVATIONS
from spiq.graph.query import Array, data_inputs, rank, sole_consumer
from spiq.passes.batchnorm import channel_affine
from spiq.passes.layer_weights import can_take_rows

_HOMOGENEOUS = frozenset({"LeakyRelu", "Relu"})
_STEPS = frozenset({"Add", "Div", "Mul", "Sub"})
_KEEPING = ACTIVATIONS | {"Add", "AveragePool", "MaxPool", "Mul", "PRelu", "Pow"}
"""Operators that keep the channels of what they read first in their place."""


def factors_before_relus(model: ir.Model) -> int:
    """Exchange in place; return how many factors changed places."""
    changed = 0
    for node in list(model.graph):
        given = data_inputs(node) if node.op_type in ("Div", "Mul") else []
        relu = given[0].producer() if given else None  # what is computed of constants reads nothing
        affine = channel_affine(node) if relu is not None and _is_exchangeable(relu) else None
        if affine is None or relu is None or sole_consumer(relu.outputs[0]) is not node:
            continue
        if (affine[0] > 0).all() and not affine[1].any() and not _is_output(node):
            _exchange(relu, node)
            changed += 1
    return changed


def _is_exchangeable(relu: ir.Node) -> bool:
    """Return whether a ReLU follows a layer that can take a factor in, or a norm behind one."""
    source = relu.inputs[0] if relu.op_type in _HOMOGENEOUS and relu.domain == "" else None
    before = source.producer() if source is not None else None
    if before is None or sole_consumer(source) is not relu:  # type: ignore[arg-type]
        return False
    if before.op_type == "BatchNormalization" and before.inputs[0] is not None:
        before = before.inputs[0].producer()
    return can_take_rows(before)


def _is_output(node: ir.Node) -> bool:
    return any(value.is_graph_output() for value in node.outputs)


def _exchange(relu: ir.Node, step: ir.Node) -> None:
    """Put a step that reads a ReLU in front of it."""
    source, middle, result = relu.inputs[0], relu.outputs[0], step.outputs[0]
    result.replace_all_uses_with(middle)
    for place, value in enumerate(step.inputs):
        if value is middle:
            step.replace_input_with(place, source)
    relu.replace_input_with(0, result)
    graph = step.graph
    assert isinstance(graph, ir.Graph)
    graph.remove(step)
    graph.insert_before(relu, step)


def steps_as_norms(model: ir.Model) -> int:
    """Join steps in place; return how many chains became a norm."""
    made = 0
    for node in list(model.graph):
        if node.graph is None or not _is_last(node):
            continue
        chain, (a, b) = _chain(node)
        if b.any() and _is_behind_convolution(chain[0]):
            _join(chain, a, b)
            made += 1
    return made


def _is_last(node: ir.Node) -> bool:
    """Return whether a node is a step per channel that no other step follows."""
    after = sole_consumer(node.outputs[0])
    follows = after is not None and _affine(after) is not None
    return not follows and not _is_output(node) and _affine(node) is not None


def _affine(node: ir.Node) -> tuple[Array, Array] | None:
    return channel_affine(node) if node.op_type in _STEPS else None


def _chain(node: ir.Node) -> tuple[list[ir.Node], tuple[Array, Array]]:
    """Return the steps that end in a node, first to last, and what they are together."""
    chain, affine = [node], _affine(node)
    assert affine is not None
    a, b = affine
    while (before := data_inputs(chain[0])[0].producer()) is not None:
        affine = _affine(before)
        if affine is None or sole_consumer(before.outputs[0]) is not chain[0]:
            break
        a, b = a * affine[0], a * affine[1] + b
        chain.insert(0, before)
    return chain, (a, b)


def _is_behind_convolution(step: ir.Node) -> bool:
    """Return whether the second axis of what a step reads has the channels of a convolution."""
    value = data_inputs(step)[0]
    if (rank(value) or 0) < 4:
        return False
    while (node := value.producer()) is not None and node.domain == "":
        if node.op_type in ("Conv", "ConvTranspose", "BatchNormalization"):
            return True
        if node.op_type not in _KEEPING:
            return False
        value = data_inputs(node)[0]
    return False


def _join(chain: list[ir.Node], a: Array, b: Array) -> None:
    first, last = chain[0], chain[-1]
    graph, name = last.graph, last.name
    assert isinstance(graph, ir.Graph)
    arrays = {"gamma": a, "beta": b, "mean": np.zeros_like(a), "var": np.ones_like(a)}
    given = [
        initializer(graph, f"{name}_{key}", array.astype(np.float32))
        for key, array in arrays.items()
    ]
    data = data_inputs(first)[0]
    replace(last, ir.node("BatchNormalization", [data, *given], {"epsilon": 0.0}, name=name))
    for node in reversed(chain[:-1]):
        graph.remove(node, safe=True)
