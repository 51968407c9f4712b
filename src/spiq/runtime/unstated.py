"""Which tensors nothing states the moments of, and are to be observed.

Those are what feeds a layer and is known too vaguely: not at all, since an operator before it
has no rule, or from the network's input or through several layers of which nothing is stated.
(Carried through one such layer, moments are as good as observed ones, and a sum is as well known as
its better half.) Where that is so anywhere, all that is vague is observed, what feeds no layer too.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, data_inputs, dims, is_float32, weight_nodes, where
from spiq.passes.prepare import Prepared
from spiq.planning.placement.values import is_product
from spiq.stats.axes import channel_axes
from spiq.stats.propagate import Measured
from spiq.stats.rules import RULES
from spiq.stats.rules.arithmetic import gated
from spiq.stats.rules.compositions import raised

_VAGUE = 2
"""Layers without statistics behind which moments are vague, the network's input being one."""

_GATE = 1.0
"""Where a gate ends: what it multiplies reaches no further behind it."""

_POOLS = frozenset({"GlobalAveragePool", "AveragePool"})
_ARITHMETIC = frozenset({"Add", "Exp", "Mul", "Pow", "ReduceSum", "Sub"})
_SUMS = frozenset({"GlobalAveragePool", "ReduceMean", "ReduceSum"})
_MIXES = frozenset({"Gelu", "LayerNormalization", "MatMul", "RMSNormalization"})
_READS = frozenset({"Conv", "ConvTranspose", "Softmax"})
"""What has to know what it reads; how sharp the shares of a softmax are, its scores tell best."""


def unstated(prepared: Prepared, measured: Measured) -> list[ir.Value]:
    """Return the tensors that are to be observed; none where statistics reach all layers.

    Args:
        prepared: The network.
        measured: What its normalization layers state, carried to its tensors.
    """
    graph = prepared.model.graph
    vague = _vague(graph, prepared, measured)
    if not vague & _feeding(graph, prepared):
        return []
    axes, plain = channel_axes(graph), [value for value in _observable(graph) if value in vague]
    shares = [after for scores, after in softmaxes(graph) if scores in plain and after in axes]
    others = _behind_no_rule(graph, measured, set(measured.stats) | set(plain))
    return list(dict.fromkeys(plain + shares + others))


def _vague(graph: ir.Graph, prepared: Prepared, measured: Measured) -> set[ir.Value]:
    """Return the tensors of which nothing is known, or nothing near."""
    layers = set(weight_nodes(graph))
    far = {value: 1 for value in graph.inputs}
    for node in graph:
        best = min if node.op_type in ("Add", "Sub") else max
        behind = best((far.get(value, 0) for value in data_inputs(node)), default=0)
        for value in node.outputs:
            known = value.name in prepared.stated
            far[value] = 0 if known else behind + (node in layers)
            told = not (_sums_products(node) or _multiplies(node, measured))
            if value not in measured.stats or not (told or known):
                far[value] = max(far[value], _VAGUE)
    return {value for value, steps in far.items() if steps >= _VAGUE}


def _sums_products(node: ir.Node) -> bool:
    """Return whether a node adds up products of two tensors.

    So do convolutions whose kernels the network computes; rules take terms as independent, and
    neighbours under a kernel are not: an involution had 8 dB, and has 24 observed. Neither are two
    branches that see the same thing: all pairs of two pictures' features, normalized by BatchNorm,
    had 8 dB, since scores were taken for a quarter of what they are.
    """
    if is_product(node):
        return True
    before = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    added = node.op_type == "ReduceSum" and before is not None and before.op_type == "Mul"
    return added and before is not None and len({*data_inputs(before)}) == 2


def _multiplies(node: ir.Node, measured: Measured) -> bool:
    """Return whether a node multiplies two tensors of which neither is a gate.

    Two branches of one picture are not independent. Gates end at 1 (a ReLU6 by another branch, as
    in a StarNet, is none: 10.8 dB, and 12.9 observed), and a square is known as well as what it is
    made of: three squared ReLUs in a row, which pictures of more contrast than those that the
    network was trained on drive far off, had 2 dB when they were observed, and have 24. An Exp is
    observed: a range that reaches a few deviations further is a hundred times as wide behind it.
    So are powers above the third.
    """
    if node.domain != "" or node.op_type not in ("Exp", "Mul", "Pow") or raised(node) is not None:
        return False
    if all(reader.op_type in _SUMS for reader in node.outputs[0].consumers()):
        return False  # the sum is what a layer reads
    if node.op_type == "Pow":
        exponent = constant(node.inputs[1])
        return exponent is not None and bool(np.all(exponent.astype(np.float64) > 1))
    known = [measured.stats.get(value) for value in data_inputs(node)]
    ends = [0.0 if one is None else float(one.high.max()) for one in known]
    if node.op_type == "Exp":
        return ends == [np.inf]
    return len(ends) == 2 and min(ends) > _GATE and gated(node) is None


def _feeding(graph: ir.Graph, prepared: Prepared) -> set[ir.Value]:
    """Return the tensors that reach a layer with nothing stated on the way."""
    layers, feeding = set(weight_nodes(graph)), set[ir.Value]()
    for node in reversed(list(graph)):
        if node in layers:
            feeding.update(data_inputs(node)[:1])
        elif any(v in feeding and v.name not in prepared.stated for v in node.outputs):
            feeding.update(data_inputs(node))
    return feeding


def _observable(graph: ir.Graph) -> list[ir.Value]:
    """Return the tensors that can be observed, of which it is known where their channels lie.

    Those of layers, products, sums, pools and of what normalizes each input by itself.
    """
    layers, axes = set(weight_nodes(graph)), channel_axes(graph)
    operators = _POOLS | _ARITHMETIC | _MIXES
    return [
        value
        for node in graph
        if node in layers or (node.op_type in operators and node.domain == "")
        for value in node.outputs
        if is_float32(value) and value in axes
    ]


def _behind_no_rule(graph: ir.Graph, measured: Measured, known: set[ir.Value]) -> list[ir.Value]:
    """Return what layers and products read that no rule would tell if ``known`` were observed.

    Rules give up, too: those of operators that ``measured`` knows to have ended at.
    """
    reached, found, axes = set(known), [], channel_axes(graph)
    read = {value for node in weight_nodes(graph) for value in node.inputs[:1]}
    read |= {value for node in graph if is_product(node) for value in node.inputs}
    read |= {n.inputs[0] for n in graph if n.op_type in _READS and n.domain == ""}
    for node in graph:
        ruled = node.domain == "" and node.op_type in RULES and where(node) not in measured.unknown
        if ruled and all(value in reached for value in data_inputs(node)):
            reached.update(node.outputs)
        for value in node.outputs:
            if value not in reached and value in read and is_float32(value) and value in axes:
                reached.add(value)
                found.append(value)
    masked = (
        after
        for scores, after in softmaxes(graph)
        if after in axes and after not in found and not _is_told(scores, reached)
    )
    return [*found, *masked]


def _is_told(value: ir.Value, reached: set[ir.Value]) -> bool:
    """Return whether all that scores are made of is known, and how many there are to a row.

    A mask that is computed is not: scores with it are often not finite, be it that it holds
    infinities or float32's least number, and cannot be observed; their shares can.
    """
    node = value.producer()
    if None in (dims(value) or [None])[-1:]:
        return False
    sources = [] if node is None else data_inputs(node)
    masked = node is not None and node.op_type == "Add" and len(sources) > 1
    return not masked and all(source in reached for source in sources)


def softmaxes(graph: ir.Graph) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Yield scores and shares: what each Softmax reads and makes."""
    for node in graph:
        if node.op_type == "Softmax" and node.domain == "" and node.inputs[0] is not None:
            yield node.inputs[0], node.outputs[0]
