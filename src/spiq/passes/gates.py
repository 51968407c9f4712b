"""One spelling for hard gates: HardSigmoid, and a Mul by what it gates.

With h = 1 / a,

=============================================  ====================================
written                                        becomes
=============================================  ====================================
Clip(x + b, 0, h) times a                      HardSigmoid, alpha a, beta a b
x Clip(x + b, 0, h), times a                   that times x
HardSwish                                      that times x, a = 1/6, b = 3
=============================================  ====================================

ONNX Runtime computes HardSwish in these two steps anyway. On integers both are cheap (see
:mod:`spiq.emit.gates` and :mod:`spiq.rewriting.gates`): a network of inverted residuals took 4.1 ms
with HardSwish in float, 1.6 with it on integers, where ``quantize_static``'s took 2.5.
"""

from collections.abc import Callable

import onnx_ir as ir

from spiq.graph.edit import remove_unused, replace, unique_name
from spiq.graph.query import constant, is_float32, sole_consumer
from spiq.passes.bounds import bounds_of

_NEAR = 1e-5


def plain_gates(model: ir.Model) -> int:
    """Write all hard gates as HardSigmoid, in place."""
    return written_anew(model, _write_hard)


def written_anew(model: ir.Model, write: Callable[[ir.Graph, ir.Node], bool]) -> int:
    """Write operators on floats otherwise, in place; return how many ``write`` says it did."""
    graph, changed = model.graph, 0
    for node in list(graph):
        if node.domain == "" and node.outputs and is_float32(node.outputs[0]):
            changed += write(graph, node)
    if changed:
        remove_unused(graph)
    return changed


def _write_hard(graph: ir.Graph, node: ir.Node) -> bool:
    if node.op_type == "HardSwish":
        _write(graph, node, node.inputs[0], 1 / 6, 3.0, gated=True)
    elif (found := _hinged(node)) is not None:
        source, factor, shift, gated = found
        _write(graph, node, source, factor, shift, gated=gated)
    else:
        return False
    return True


def _write(
    graph: ir.Graph, node: ir.Node, x: ir.Value | None, a: float, b: float, *, gated: bool
) -> None:
    attributes = {"alpha": a, "beta": a * b}
    if not gated:
        replace(node, ir.node("HardSigmoid", [x], attributes, name=node.name))
        return
    gate = ir.node("HardSigmoid", [x], attributes, name=f"{node.name}_gate")
    made = gate.outputs[0]
    made.name = unique_name(graph, f"{node.outputs[0].name}_gate")
    made.type, made.shape = node.outputs[0].type, node.outputs[0].shape
    graph.insert_before(node, gate)
    replace(node, ir.node("Mul", [x, made], name=node.name))


def _hinged(node: ir.Node) -> tuple[ir.Value, float, float, bool] | None:
    """Return x, a, b and whether it is gated, if ``node`` is the last step of a hard gate."""
    scaled = step_by_number(node, "Mul") or step_by_number(node, "Div")
    if scaled is None or scaled[1] == 0:
        return None
    source, number = scaled
    a = 1 / number if node.op_type == "Div" else number
    before = source.producer()
    if before is None or sole_consumer(source) is not node:
        return None
    if before.op_type == "Mul" and before.domain == "":
        for x, value in (before.inputs[:2], before.inputs[1::-1]):
            found = _hinge(value, before, a)
            if found is not None and found[0] is x:
                return (*found[:1], a, found[1], True)
        return None
    found = _hinge(source, node, a)
    return None if found is None else (found[0], a, found[1], False)


def _hinge(value: ir.Value | None, reader: ir.Node, a: float) -> tuple[ir.Value, float] | None:
    """Return x and b if ``value``, read by ``reader`` alone, is Clip(x + b, 0, 1 / a)."""
    clip = value.producer() if value is not None else None
    if value is None or clip is None or sole_consumer(value) is not reader:
        return None
    bounded = bounds_of(clip)
    if bounded is None or bounded[1][0] != 0 or abs(bounded[1][1] * a - 1) > _NEAR:
        return None
    add = bounded[0].producer()
    if add is None or sole_consumer(bounded[0]) is not clip:
        return None
    return step_by_number(add, "Add")


def step_by_number(node: ir.Node, operator: str) -> tuple[ir.Value, float] | None:
    """Return the tensor and the number of a step by a single number."""
    if node.op_type != operator or node.domain != "":
        return None
    places = ((0, 1),) if operator == "Div" else ((0, 1), (1, 0))
    for data, fixed in places:
        value, number = node.inputs[data], constant(node.inputs[fixed])
        if value is None or number is None or number.size != 1 or constant(value) is not None:
            continue
        shape = value.shape
        if shape is not None and number.ndim <= len(shape):
            return value, float(number.reshape(())[()])
    return None
