"""Decide which tensors are quantized, and what has to go together.

1. *Layers.* Every Conv, Gemm and MatMul with a constant weight and known statistics runs on
   integers, unless excluded. Their inputs are demanded: they have to be stored as integers.
2. *Operators between.* In the order of execution, an operator with an integer kernel runs on
   integers if all its inputs are stored and a layer reads its result, directly or through more of
   them. (Where only float operators read on, staying in float saves a rounding.) A ReLU (or a Clip
   from 0) behind an operator that rounds its output is absorbed: the grid starts at 0 and
   saturates.
3. *Grids.* Operators that only move data keep the grid of their input. A Concat shares its grid
   with those inputs that nothing but Concats read: it is then a copy.
4. *Classes.* In folded form a tensor holds x / sigma with one sigma per channel. Operators that
   are homogeneous hand sigma on; an Add needs the same sigma on both sides; layers and
   BatchNormalization take any sigma on either side. (tensor, channel) pairs that must have the
   same sigma form a class. A Sigmoid on integers pins sigma to 1. Float operators and graph
   outputs put no condition on it: a Mul converts behind and before them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from spiq.graph.query import (
    constant,
    data_inputs,
    feeds_only,
    is_constant,
    is_float32,
    rank,
    sole_consumer,
    weight_nodes,
    where,
)
from spiq.planning.placement.components import Ids, components
from spiq.planning.placement.kernels import broken_form
from spiq.stats.propagate import Measured
from spiq.stats.routing import MOVERS, ZERO, route
from spiq.targets import Target

LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators that multiply by a weight, where a target runs them on integers."""

ROUNDS = frozenset({"Conv", "Gemm", "MatMul", "Add", "Mul", "BatchNormalization", "AveragePool",
                    "GlobalAveragePool", "LeakyRelu", "Sigmoid"})  # fmt: skip
"""Integer operators that write on a grid of their own."""

FREE = frozenset({"Conv", "Gemm", "MatMul", "BatchNormalization"})
"""Integer operators that take any channel scale on either side: it folds into their weights."""


_FUSED_WITH_GEMM = frozenset({"Elu", "HardSigmoid", "LeakyRelu", "Relu", "Selu", "Sigmoid",
                              "Softplus", "Softsign", "Tanh", "ThresholdedRelu"})  # fmt: skip
"""Activations that ONNX Runtime fuses with a Gemm in float, before it looks for integers."""


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
    """

    integer: dict[ir.Node, None] = field(default_factory=dict)
    absorbed: dict[ir.Node, None] = field(default_factory=dict)
    grids: dict[ir.Value, int] = field(default_factory=dict)
    classes: dict[ir.Value, Ids] = field(default_factory=dict)
    pinned: frozenset[int] = frozenset()
    reasons: dict[ir.Node, str] = field(default_factory=dict)

    def stored_output(self, value: ir.Value) -> ir.Value:
        """Return the tensor that is stored for ``value``: behind an absorbed activation, if any."""
        after = sole_consumer(value)
        return after.outputs[0] if after is not None and after in self.absorbed else value


def place(
    graph: ir.Graph, measured: Measured, target: Target, exclude: Mapping[str, str] | None = None
) -> Placement:
    """Decide what runs on integers.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        target: The runtime.
        exclude: Names of layers (or of other operators) to leave in float, and why.
    """
    placement, exclude = Placement(), exclude or {}
    layers = _layers(graph, measured, target, exclude, placement.reasons)
    needed = _needed(graph, layers, target)
    demanded = {node.inputs[0] for node in layers if node.inputs[0] is not None}
    stored: dict[ir.Value, None] = {value: None for value in graph.inputs if value in demanded}
    for node in graph:
        if node not in layers and node.name in exclude and _kind(node) in target.integer:
            placement.reasons.setdefault(node, exclude[str(node.name)] or "excluded")
        if broken := broken_form(node):
            placement.reasons.setdefault(node, broken)
        if node in layers or (
            node in needed
            and node not in placement.reasons
            and _runs_on_integers(node, stored, measured, target)
        ):
            placement.integer[node] = None
            ends_in_float = node.op_type in target.float_output and not _is_fused(node)
            if not ends_in_float or _is_demanded(node, demanded):
                stored.update(dict.fromkeys(node.outputs))
        elif _is_absorbed(node, placement, stored):
            placement.absorbed[node] = None
            del stored[node.inputs[0]]  # type: ignore[arg-type]
            stored[node.outputs[0]] = None
        else:
            stored.update({value: None for value in node.outputs if value in demanded})
    placement.grids = _grids(placement, stored, measured)
    placement.classes, placement.pinned = _classes(placement, stored, measured)
    return placement


def _layers(
    graph: ir.Graph,
    measured: Measured,
    target: Target,
    exclude: Mapping[str, str],
    reasons: dict[ir.Node, str],
) -> dict[ir.Node, None]:
    layers: dict[ir.Node, None] = {}
    for node in weight_nodes(graph):
        reason = _why_float(node, measured, target, exclude)
        if reason:
            reasons[node] = reason
        else:
            layers[node] = None
    return layers


def unfit(node: ir.Node, target: Target, exclude: Mapping[str, str]) -> str:
    """Return why a layer cannot run on integers, whatever is known of its input; empty if it can.

    Args:
        node: The layer.
        target: The runtime.
        exclude: Names of layers to leave in float, and why.
    """
    name = str(node.name)
    if name in exclude:
        return exclude[name] or "excluded"
    if node.op_type not in target.integer:
        return f"{target.name} has no integer kernel for {node.op_type}"
    if not is_float32(node.outputs[0]):
        return f"computes in {node.outputs[0].dtype}, not float32"
    if node.op_type == "Gemm" and not (
        node.attributes.get_int("transB", 0) and not node.attributes.get_int("transA", 0)
    ):
        return "this form of Gemm cannot be folded"
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and not is_constant(bias):
        return "its bias is not constant"
    if bias is not None and rank(bias) != 1:
        return "its bias is not one number per output"
    if any(node.attributes.get_float(name, 1.0) != 1 for name in ("alpha", "beta")):
        return "this form of Gemm cannot be folded"
    return ""


def _why_float(
    node: ir.Node, measured: Measured, target: Target, exclude: Mapping[str, str]
) -> str:
    reason = unfit(node, target, exclude)
    if reason:
        return reason
    known = measured.stats.get(node.inputs[0]) if node.inputs[0] is not None else None
    weight = constant(node.inputs[1])
    if known is None:
        behind = node.inputs[0].producer() if node.inputs[0] is not None else None
        return "no statistics of its input" + (f", from {where(behind)}" if behind else "")
    if weight is None or known.mean.ndim != weight.ndim:
        return "the rank of its input is not that of its weight"
    columns = len(weight) if node.op_type == "MatMul" else weight.shape[1]
    columns *= node.attributes.get_int("group", 1)
    if known.mean.size not in (1, columns) or known.mean.size != known.mean.shape[1]:
        return "its input is not known channel by channel"
    if measured.stats.get(node.outputs[0]) is None:
        return "no statistics of its output"
    return ""


def _is_demanded(node: ir.Node, demanded: set[ir.Value]) -> bool:
    result = node.outputs[0]
    if result in demanded:
        return True
    after = sole_consumer(result)
    return after is not None and _is_rectifier(after) and after.outputs[0] in demanded


def _is_fused(node: ir.Node) -> bool:
    """Return whether the runtime would make one float operator of ``node`` and its activation."""
    after = sole_consumer(node.outputs[0]) if node.op_type == "Gemm" else None
    return (
        after is not None
        and after.op_type in _FUSED_WITH_GEMM
        and not after.outputs[0].is_graph_output()
    )


def _kind(node: ir.Node) -> str:
    """Return how a target names the operator of ``node``."""
    if node.op_type == "Resize" and node.attributes.get_string("mode", "nearest") == "nearest":
        return "ResizeNearest"
    return node.op_type if node.domain == "" else ""


def _needed(graph: ir.Graph, layers: dict[ir.Node, None], target: Target) -> set[ir.Node]:
    """Return the operators whose results reach a layer through operators with integer kernels."""
    needed = set(layers)
    for node in reversed(list(graph)):
        if _kind(node) in target.integer or _is_rectifier(node):
            readers = [reader for value in node.outputs for reader in value.consumers()]
            if any(reader in needed for reader in readers):
                needed.add(node)
    return needed


def _runs_on_integers(
    node: ir.Node, stored: dict[ir.Value, None], measured: Measured, target: Target
) -> bool:
    if node.op_type in LAYERS or node.domain != "":
        return False
    kind = _kind(node)
    inputs = data_inputs(node)
    if kind not in target.integer or not inputs or any(value not in stored for value in inputs):
        return False
    if any(value not in measured.stats for value in node.outputs):
        return False
    if kind in ("Add", "Concat", "Mul") and len(inputs) != len(node.inputs):
        return False
    if kind == "MaxPool" and len(node.outputs) > 1:
        return False
    return kind not in MOVERS or _map(node, measured) is not None


def _map(node: ir.Node, measured: Measured) -> list[Ids] | None:
    return route(node, [measured.stats[value].layout for value in data_inputs(node)])


def _is_rectifier(node: ir.Node) -> bool:
    if node.op_type == "Relu":
        return True
    if node.op_type != "Clip" or len(node.inputs) < 2:
        return False
    low = constant(node.inputs[1])
    high = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.ones(())
    return low is not None and float(low) == 0 and high is not None and float(high) > 0


def _is_absorbed(node: ir.Node, placement: Placement, stored: dict[ir.Value, None]) -> bool:
    source = node.inputs[0] if node.inputs else None
    if source is None or source not in stored or not _is_rectifier(node):
        return False
    producer = source.producer()
    rounds = producer is not None and producer in placement.integer and producer.op_type in ROUNDS
    return rounds and sole_consumer(source) is node


def _grids(
    placement: Placement, stored: dict[ir.Value, None], measured: Measured
) -> dict[ir.Value, int]:
    number = {value: np.array(index) for index, value in enumerate(stored)}
    movers = [node for node in placement.integer if node.op_type not in ROUNDS]
    pairs = [
        (number[source], number[result])
        for node in movers
        if node.op_type != "Concat"
        for result in node.outputs
        for source in data_inputs(node)
    ]
    grids = components(len(number), [a for a, _ in pairs], [b for _, b in pairs])
    values = list(stored)
    for node in movers:
        for source in data_inputs(node) if node.op_type == "Concat" else ():
            own, joint = grids[number[source]], grids[number[node.outputs[0]]]
            if own != joint and feeds_only(source, "Concat"):
                members = np.flatnonzero((grids == own) | (grids == joint))
                if _may_share([values[index] for index in members], placement, measured):
                    grids[grids == own] = joint
    return {value: int(grids[index]) for value, index in number.items()}


def _may_share(values: Sequence[ir.Value], placement: Placement, measured: Measured) -> bool:
    """Return whether one grid for all these tensors still stands for each absorbed activation."""
    absorbed = [value for value in values if value.producer() in placement.absorbed]
    if not absorbed:
        return True
    low = min(measured.stats[value].low.min() for value in values)
    high = max(measured.stats[value].high.max() for value in values)
    ends = [measured.stats[value].high.max() for value in absorbed]
    return bool(low >= 0 and high <= min(ends))


def _classes(
    placement: Placement, stored: dict[ir.Value, None], measured: Measured
) -> tuple[dict[ir.Value, Ids], frozenset[int]]:
    start, ids = 0, {}
    for value in stored:
        layout = measured.stats[value].layout
        count = int(np.prod(layout))
        ids[value] = np.arange(start, start + count, dtype=np.int64).reshape(layout)
        start += count
    pairs = [
        pair
        for node in placement.integer
        if node.op_type not in FREE
        for pair in _joined(node, ids, placement)
    ]
    names = components(start, [a for a, _ in pairs], [b for _, b in pairs])
    classes = {value: names[array] for value, array in ids.items()}
    pinned = {
        name
        for node in placement.integer
        for value in _pinned_by(node, placement)
        for name in classes[value].reshape(-1).tolist()
    }
    return classes, frozenset(pinned)


def _pinned_by(node: ir.Node, placement: Placement) -> list[ir.Value]:
    """Return the stored tensors that ``node`` takes or gives in real units only."""
    if node.op_type == "Sigmoid" or (node.op_type == "Mul" and _gate(node, placement) is None):
        return [*data_inputs(node), *map(placement.stored_output, node.outputs)]
    return []


def _gate(node: ir.Node, placement: Placement) -> ir.Value | None:
    """Return the operand of a Mul that is a Sigmoid on integers, if any."""
    for value in data_inputs(node):
        producer = value.producer()
        if producer is not None and producer.op_type == "Sigmoid" and producer in placement.integer:
            return value
    return None


def _joined(node: ir.Node, ids: dict[ir.Value, Ids], placement: Placement) -> list[tuple[Ids, Ids]]:
    """Return pairs of arrays of channels that ``node`` wants on one scale."""
    if node.op_type == "Sigmoid":
        return []
    gate = _gate(node, placement) if node.op_type == "Mul" else None
    inputs = [ids[value] for value in data_inputs(node) if value is not gate]
    outputs = [ids[placement.stored_output(value)] for value in node.outputs]
    if node.op_type not in MOVERS:
        return [tuple(np.broadcast_arrays(array, outputs[0])) for array in inputs]  # type: ignore[misc]
    maps = route(node, [array.shape for array in inputs])
    assert maps is not None
    flat = np.concatenate([array.reshape(-1) for array in inputs])
    return [
        (flat[entry[entry != ZERO]], array[entry != ZERO])
        for entry, array in zip(maps, outputs, strict=True)
    ]
