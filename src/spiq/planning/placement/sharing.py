"""What has to go together: the stored tensors of one grid, the channels of one channel scale.

*Grids.* Operators that only move data keep the grid of their input. A Concat shares its grid with
those inputs that nothing but Concats read: it is then a copy.

*Classes.* In folded form a tensor holds x / sigma with one sigma per channel. Operators that are
homogeneous hand sigma on; an Add needs the same sigma on both sides; layers and BatchNormalization
take any sigma on either side. (tensor, channel) pairs that must have the same sigma form a class. A
gate on integers pins sigma to 1 of what it gives, and of what it takes but for channels along axis
1, which a convolution can give back their scales. A product of two tensors pins sigma of its left
operand; the columns of its right one hand theirs on to its result. Float operators and graph
outputs put no condition on sigma: a Mul converts behind and before them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from spiq.graph.query import data_inputs, feeds_only
from spiq.planning.placement.components import Ids, components
from spiq.planning.placement.values import (
    FREE,
    GATES,
    ROUNDS,
    Placement,
    is_product,
    is_repeated,
)
from spiq.stats.maps import ZERO
from spiq.stats.movers import MOVERS
from spiq.stats.propagate import Measured
from spiq.stats.routing import mixture, route

_NO_IDS: Ids = np.zeros(0, np.int64)


def shared_grids(
    placement: Placement, stored: dict[ir.Value, None], measured: Measured
) -> dict[ir.Value, int]:
    """Return the number of each stored tensor's grid; equal numbers, one grid.

    Args:
        placement: What runs on integers.
        stored: The stored tensors, in order.
        measured: Statistics of the network's tensors.
    """
    number = {value: np.array(index) for index, value in enumerate(stored)}

    # what moves a tensor keeps its grid
    movers = [node for node in placement.integer if node.op_type not in ROUNDS]
    pairs = [
        (number[source], number[result])
        for node in movers
        if node.op_type != "Concat"
        for result in node.outputs
        for source in data_inputs(node)
    ]
    grids = components(len(number), [a for a, _ in pairs], [b for _, b in pairs])

    # what only Concats read is on theirs
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


def shared_scales(
    placement: Placement, stored: dict[ir.Value, None], measured: Measured
) -> tuple[dict[ir.Value, Ids], frozenset[int]]:
    """Return the class of each channel of each stored tensor, and the classes held at scale 1.

    Args:
        placement: What runs on integers.
        stored: The stored tensors, in order.
        measured: Statistics of the network's tensors.

    Returns:
        For each tensor the number of each channel's class, in the tensor's layout; and the classes
        that are held.
    """
    # every channel of every tensor has a number
    start, ids = 0, {}
    for value in stored:
        layout = measured.stats[value].layout
        count = int(np.prod(layout))
        ids[value] = np.arange(start, start + count, dtype=np.int64).reshape(layout)
        start += count

    # a class is what operators join, named by its least number
    pairs = [
        pair
        for node in placement.integer
        if node.op_type not in FREE or is_product(node)
        for pair in _joined(node, ids, placement)
    ]
    names = components(start, [a for a, _ in pairs], [b for _, b in pairs])
    classes = {value: names[array] for value, array in ids.items()}

    pinned = {
        name
        for node in placement.integer
        for value in _pinned_by(node, placement, classes)
        for name in classes[value].reshape(-1).tolist()
    }
    return classes, frozenset(pinned)


def pinned_by_floats(placement: Placement) -> frozenset[int]:
    """Return the classes of tensors that float operators, inputs or outputs have to do with."""
    integer, absorbed, found = placement.integer, placement.absorbed, set[int]()
    for value, ids in placement.classes.items():
        producer = value.producer()
        if producer is not None and producer in absorbed:
            producer = producer.inputs[0].producer()  # type: ignore[union-attr]
        inside = producer is not None and producer in integer and not value.is_graph_output()
        if not inside or any(node not in integer for node in value.consumers()):
            found.update(ids.reshape(-1).tolist())
    return frozenset(found)


def _pinned_by(
    node: ir.Node, placement: Placement, classes: Mapping[ir.Value, Ids]
) -> list[ir.Value]:
    """Return the stored tensors that ``node`` takes or gives in real units only."""
    if is_product(node):
        left, right = data_inputs(node)
        columns = [right, *(value for value in node.outputs if value in classes)]
        return [left] if _keeps_columns(node, classes) else [left, *columns]
    gate = _gate(node, placement) if node.op_type == "Mul" else None
    if gate is not None:
        return [gate]
    if node.op_type not in GATES and node.op_type != "Mul":
        return []
    given, made = data_inputs(node), [placement.stored_output(value) for value in node.outputs]
    folds = node.op_type in GATES and _may_fold(node, classes[given[0]].shape)
    return made if folds else [*given, *made]


def _may_fold(gate: ir.Node, layout: tuple[int, ...]) -> bool:
    """Return whether a gate may read a folded tensor: a convolution gives its channels back.

    What a Sigmoid reads is rounded once more by that, which is for what others read, too.
    """
    source = gate.inputs[0]
    alone = source is not None and len(source.consumers()) == 1
    return _has_channels(layout) and not (gate.op_type == "Sigmoid" and alone)


def _keeps_columns(node: ir.Node, arrays: Mapping[ir.Value, Ids]) -> bool:
    """Return whether each column of a product is as its right operand's column is scaled."""
    right, result = arrays[data_inputs(node)[1]], arrays.get(node.outputs[0])
    return result is not None and right.ndim == result.ndim and right.shape[-2] == 1


def _has_channels(layout: tuple[int, ...]) -> bool:
    """Return whether a convolution can have a weight for each number of a layout."""
    return len(layout) > 2 and layout[0] == 1 and max(layout[2:]) == 1


def _gate(node: ir.Node, placement: Placement) -> ir.Value | None:
    """Return the operand of a Mul that is a gate, or that float operators made, as one, if any."""
    first, *others = data_inputs(node)
    for value, other in ((first, others[0]), (others[0], first)) if others else ():
        source = value.producer()
        while source is not None and source in placement.integer and source.op_type in MOVERS:
            source = data_inputs(source)[0].producer()
        if source is None:
            continue
        if source.op_type in GATES if source in placement.integer else is_repeated(value, other):
            return value
    return None


def _joined(node: ir.Node, ids: dict[ir.Value, Ids], placement: Placement) -> list[tuple[Ids, Ids]]:
    """Return pairs of arrays of channels that ``node`` wants on one scale."""
    if node.op_type in GATES:
        return []
    if is_product(node):
        sides = [ids[data_inputs(node)[1]], ids.get(node.outputs[0], _NO_IDS)]
        return [tuple(np.broadcast_arrays(*sides))] if _keeps_columns(node, ids) else []  # type: ignore[list-item]
    gate = _gate(node, placement) if node.op_type == "Mul" else None
    inputs = [ids[value] for value in data_inputs(node) if value is not gate]
    outputs = [ids[placement.stored_output(value)] for value in node.outputs]
    if node.op_type not in MOVERS:
        return [tuple(np.broadcast_arrays(array, outputs[0])) for array in inputs]  # type: ignore[misc]
    layouts = [array.shape for array in inputs]
    maps = route(node, layouts) or mixture(node, layouts)
    assert maps is not None
    flat = np.concatenate([array.reshape(-1) for array in inputs])
    pairs = [np.broadcast_arrays(*both) for both in zip(maps, outputs, strict=True)]
    return [(flat[entry[entry != ZERO]], array[entry != ZERO]) for entry, array in pairs]
