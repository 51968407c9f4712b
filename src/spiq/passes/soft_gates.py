"""One spelling for what is made of 1 + exp(x).

=============================================  ====================================
written                                        becomes
=============================================  ====================================
Log(1 + Exp(x))                                Softplus(x)
1 / (1 + Exp(-x))                              Sigmoid(x)
y / (1 + Exp(-x))                              y Sigmoid(x)
=============================================  ====================================

An exponential has far heavier tails than either, and as a tensor of its own it is observed, and
what it leads to with it: a Softplus that was spelt so had 24 dB, and has 35.
"""

import onnx_ir as ir

from spiq.graph.edit import replace, unique_name
from spiq.graph.query import constant, is_constant
from spiq.passes.gates import step_by_number, written_anew


def plain_soft_gates(model: ir.Model) -> int:
    """Write them so, in place; return how many there were."""
    return written_anew(model, _write_soft)


def _write_soft(graph: ir.Graph, node: ir.Node) -> bool:
    if node.op_type == "Log" and (x := _exponent(node.inputs[0])) is not None:
        replace(node, ir.node("Softplus", [x], name=node.name))
    elif node.op_type in ("Div", "Reciprocal") and (x := _negated(node.inputs[-1])) is not None:
        _write_sigmoid(graph, node, x)
    else:
        return False
    return True


def _write_sigmoid(graph: ir.Graph, node: ir.Node, x: ir.Value) -> None:
    above = node.inputs[0] if node.op_type == "Div" else None
    number = constant(above)
    if node.op_type == "Reciprocal" or (number is not None and number.size == 1 and number == 1):
        replace(node, ir.node("Sigmoid", [x], name=node.name))
        return
    gate = ir.node("Sigmoid", [x], name=f"{node.name}_gate")
    made = gate.outputs[0]
    made.name = unique_name(graph, f"{node.outputs[0].name}_gate")
    made.type, made.shape = x.type, x.shape
    graph.insert_before(node, gate)
    replace(node, ir.node("Mul", [above, made], name=node.name))


def _exponent(value: ir.Value | None) -> ir.Value | None:
    """Return x if ``value`` is 1 + exp(x)."""
    add = value.producer() if value is not None else None
    step = step_by_number(add, "Add") if add is not None else None
    if step is None or step[1] != 1:
        return None
    power = step[0].producer()
    return power.inputs[0] if power is not None and _is(power, "Exp") else None


def _negated(value: ir.Value | None) -> ir.Value | None:
    """Return x if ``value`` is 1 + exp(-x)."""
    exponent = _exponent(value)
    node = exponent.producer() if exponent is not None else None
    if node is None:
        return None
    if _is(node, "Neg"):
        return node.inputs[0]
    step = step_by_number(node, "Mul") or step_by_number(node, "Div")
    return step[0] if step is not None and step[1] == -1 else None


def _is(node: ir.Node, operator: str) -> bool:
    return node.op_type == operator and node.domain == "" and not is_constant(node.inputs[0])
