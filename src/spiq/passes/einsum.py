"""Einsum of two tensors as a matrix product, for which there is an integer kernel.

With batch letters in both operands and the result, one that is summed over and is in both operands
alone, and letters that one operand has for itself,

    Einsum "abc,adc->abd"    is    MatMul(x, Transpose(y)),

with a Transpose in front of either operand and behind, where their order asks for it. Where no
letter is a batch's, the left operand may have several for itself, as tokens that meet a matrix do.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, named_after, replace, unique_name
from spiq.graph.query import constant, is_float32
from spiq.graph.shapes import infer


@dataclass(frozen=True)
class _Product:
    """Letters of each operand and of the result as a MatMul has them, and as they are."""

    given: tuple[str, str, str]
    wanted: tuple[str, str, str]


def einsum_products(model: ir.Model) -> int:
    """Write what is a matrix product as one, in place."""
    changed = 0
    for node in list(model.graph):
        product = _product(node)
        if product is not None:
            _write(model.graph, node, product)
            changed += 1
    if changed:
        infer(model)
    return changed


def _product(node: ir.Node) -> _Product | None:
    if node.op_type != "Einsum" or node.domain != "" or not is_float32(node.outputs[0]):
        return None
    equation = node.attributes.get_string("equation", "").replace(" ", "")
    operands, arrow, result = equation.partition("->")
    left, comma, right = operands.partition(",")
    if not arrow or not comma or "." in equation or "," in right:
        return None
    if any(len(set(letters)) < len(letters) for letters in (left, right, result)):
        return None

    batch = [a for a in left if a in right and a in result]
    summed = [a for a in left if a in right and a not in result]
    rows = [a for a in left if a not in right]
    columns = [a for a in right if a not in left]
    alone = all(a in result for a in (*rows, *columns))
    if not alone or len(summed) != 1 or len(columns) != 1 or not rows or (batch and len(rows) > 1):
        return None

    front, inner, outer = "".join(batch + rows), summed[0], columns[0]
    wanted = (front + inner, "".join(batch) + inner + outer, front + outer)
    return _Product((left, right, result), wanted)


def _write(graph: ir.Graph, node: ir.Node, product: _Product) -> None:
    letters = zip(node.inputs, product.given[:2], product.wanted[:2], strict=True)
    inputs = [_turned(graph, node, value, given, wanted) for value, given, wanted in letters]
    given, wanted = product.given[2], product.wanted[2]
    if given == wanted:
        replace(node, ir.node("MatMul", inputs, name=node.name))
        return
    result = node.outputs[0]
    made = ir.Value(name=unique_name(graph, f"{result.name}_product"), type=result.type)
    graph.insert_before(node, ir.node("MatMul", inputs, outputs=[made], name=node.name))
    perm = [wanted.index(a) for a in given]
    replace(node, ir.node("Transpose", [made], {"perm": perm}, name=made.name))


def _turned(
    graph: ir.Graph, node: ir.Node, value: ir.Value | None, given: str, wanted: str
) -> ir.Value | None:
    """Return an operand with its letters in the order that is wanted."""
    if value is None or given == wanted:
        return value
    perm, array = [given.index(a) for a in wanted], constant(value)
    if array is not None:
        return initializer(graph, named_after(value, "_turned"), np.transpose(array, perm))
    name = unique_name(graph, f"{value.name}_turned")
    made = ir.Value(name=name, type=value.type)
    turn = ir.node("Transpose", [value], {"perm": perm}, outputs=[made], name=name)
    graph.insert_before(node, turn)
    return made
