"""Sizes of inputs that a file leaves open, though the first operators leave no choice.

Exporters give every axis of an input a name: Hugging Face's write pixel_values [batch_size,
num_channels, height, width] and input_features [batch_size, feature_size, ...]. What reads them
holds a constant whose size says how many there are:

    Conv              W[O, C / group, ...]      axis 1 is C
    ConvTranspose     W[C, O / group, ...]      axis 1 is C
    MatMul, Gemm      B[..., K, M]              the last axis is K
    LSTM, GRU, RNN    W[directions, gates, K]   the last axis is K
    BatchNormalization, InstanceNormalization       axis 1 has as many as there are scales
    LayerNormalization                              the last axis has

Each axis of an input is followed to there, through what keeps it: functions of one number, steps
by constants, turns, paddings, pools. The first axis, the batch, stays open.
"""

from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from spiq.graph.query import constant, data_inputs, dims, ints, is_constant, stored_shape

_Axis = tuple[ir.Value, int] | None
"""An input and its axis; None for what is no axis of an input."""

_Place = tuple[_Axis, ...]

_KEEP = frozenset({
    "Abs", "BatchNormalization", "Cast", "Clip", "Dropout", "Elu", "Exp", "Gelu", "HardSigmoid",
    "HardSwish", "Identity", "InstanceNormalization", "LayerNormalization", "LeakyRelu", "Log",
    "Mish", "Neg", "Relu", "Selu", "Sigmoid", "Softmax", "Softplus", "Sqrt", "Tanh",
})  # fmt: skip
_STEPS = frozenset({"Add", "Div", "Max", "Min", "Mul", "PRelu", "Pow", "Sub"})


_NOTE = "spiq.told"
"""Key under which a network keeps whether any size was told."""


def tell(model: ir.Model) -> None:
    """Give open axes of inputs the size that what reads them fixes, in place.

    Args:
        model: A sorted model.
    """
    told = _told(model.graph)
    for value in model.graph.inputs:
        shape, sizes = dims(value), told.get(value, {})
        if shape is not None and value.shape is not None and sizes:
            value.shape = ir.Shape([sizes.get(axis, n) for axis, n in enumerate(value.shape)])
            model.meta[_NOTE] = True


def is_told(model: ir.Model) -> bool:
    """Return whether a network leaves sizes open in its file that it has here."""
    return bool(model.meta.get(_NOTE))


def _told(graph: ir.Graph) -> dict[ir.Value, dict[int, int]]:
    """Return the sizes of open axes of each input that are told in one way only."""
    places: dict[ir.Value, _Place] = {
        value: tuple((value, axis) for axis in range(len(shape)))
        for value in graph.inputs
        if (shape := dims(value)) is not None
    }
    found: dict[ir.Value, dict[int, set[int]]] = {}
    for node in graph:
        source = next((value for value in data_inputs(node) if value in places), None)
        if source is None or node.domain != "":
            continue
        axis = _told_axis(node, places[source]) if source is node.inputs[0] else None
        if axis is not None:
            sizes = found.setdefault(axis[0], {}).setdefault(axis[1], set())
            sizes.add(_TOLD[node.op_type](node, stored_shape(node.inputs[1])))
        kept = _kept(node, source, places)
        if kept is not None:
            places[node.outputs[0]] = kept
    return {value: _open(value, axes) for value, axes in found.items()}


def _open(value: ir.Value, axes: Mapping[int, set[int]]) -> dict[int, int]:
    shape = dims(value) or []
    return {
        axis: next(iter(sizes))
        for axis, sizes in axes.items()
        if axis > 0 and shape[axis] is None and len(sizes) == 1
    }


def _told_axis(node: ir.Node, place: _Place) -> tuple[ir.Value, int] | None:
    """Return the axis of an input of which the constant that a node holds says the size."""
    if node.op_type not in _TOLD or len(node.inputs) < 2 or not is_constant(node.inputs[1]):
        return None
    shape, ranks = stored_shape(node.inputs[1]), _RANKS.get(node.op_type, (len(place),))
    axis = 1 if node.op_type in _CHANNELS_SECOND else -1
    fits = len(shape) in ranks and len(place) > max(axis, 0) and not _is_turned(node)
    return place[axis] if fits and _TOLD[node.op_type](node, shape) > 0 else None


def _is_turned(node: ir.Node) -> bool:
    return bool(node.attributes.get_int("transA"))


def _rows(node: ir.Node, shape: Sequence[int]) -> int:
    turned = node.attributes.get_int("transB") or len(shape) == 1
    return shape[-1] if turned else shape[-2]


_TOLD: Mapping[str, Callable[[ir.Node, Sequence[int]], int]] = {
    "BatchNormalization": lambda node, shape: shape[0],
    "Conv": lambda node, shape: shape[1] * (node.attributes.get_int("group") or 1),
    "ConvTranspose": lambda node, shape: shape[0],
    "GRU": lambda node, shape: shape[-1],
    "Gemm": _rows,
    "InstanceNormalization": lambda node, shape: shape[0],
    "LSTM": lambda node, shape: shape[-1],
    "LayerNormalization": lambda node, shape: shape[0],
    "MatMul": _rows,
    "RNN": lambda node, shape: shape[-1],
}
_CHANNELS_SECOND = frozenset(
    {"BatchNormalization", "Conv", "ConvTranspose", "InstanceNormalization"}
)
_RANKS = {
    "BatchNormalization": (1,),
    "GRU": (3,),
    "Gemm": (2,),
    "InstanceNormalization": (1,),
    "LSTM": (3,),
    "LayerNormalization": (1,),
    "MatMul": (1, 2, 3, 4),
    "RNN": (3,),
}
"""Axes that the constant has; of a kernel as many as what it reads."""


def _kept(node: ir.Node, source: ir.Value, places: Mapping[ir.Value, _Place]) -> _Place | None:
    """Return which axes of inputs those of a node's first output are; None where none is."""
    place = places[source]
    if node.op_type in _KEEP:
        return place
    if node.op_type in _STEPS:
        others = [value for value in node.inputs if value is not None and value is not source]
        fits = all(is_constant(v) and len(stored_shape(v)) <= len(place) for v in others)
        return place if fits else None
    moved = _MOVED.get(node.op_type)
    return moved(node, place) if moved is not None and node.inputs[0] is source else None


def _transposed(node: ir.Node, place: _Place) -> _Place | None:
    straight = list(range(len(place)))
    order = ints(node, "perm", straight[::-1])
    return tuple(place[axis] for axis in order) if sorted(order) == straight else None


def _padded(node: ir.Node, place: _Place) -> _Place | None:
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    pads = ints(node, "pads", []) if given is None else given.reshape(-1).tolist()
    if len(pads) != 2 * len(place) or len(node.inputs) > 3:  # those of some axes alone
        return None
    both = zip(pads[: len(place)], pads[len(place) :], strict=True)
    return tuple(axis if pair == (0, 0) else None for axis, pair in zip(place, both, strict=True))


def _unsqueezed(node: ir.Node, place: _Place) -> _Place | None:
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = ints(node, "axes", []) if given is None else given.reshape(-1).tolist()
    rank = len(place) + len(axes)
    new, rest = {axis % rank for axis in axes}, iter(place)
    if not axes or len(new) != len(axes):
        return None
    return tuple(None if axis in new else next(rest) for axis in range(rank))


def _pooled(node: ir.Node, place: _Place) -> _Place:
    return (*place[:2], *(None for _ in place[2:]))


_MOVED: Mapping[str, Callable[[ir.Node, _Place], _Place | None]] = {
    "AveragePool": _pooled,
    "MaxPool": _pooled,
    "Pad": _padded,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
