"""What the first layers say of the network's input, as equations.

Between an input x and the first layers lie operators that move its channels about or map each by
itself, so that a channel j there is a_j x_c(j) + b_j. A layer of weights W and bias B on top has

    E[y_o]   = m sum_j,k W[o,j,k] a_j + (B_o + sum_j,k W[o,j,k] b_j)  =  m sums_o + offset_o
    Var[y_o] = s^2 w_o^T R w_o,   w_o = W[o] a                        =  s^2 response_o^2

for an input of mean m and deviation s in all channels; R are the correlations of natural images,
0.95 from pixel to pixel and 0.9 from colour to colour. Where a BatchNormalization states the
moments of y_o, these are equations for m and s. One that reads x, or a x + b, is a layer too.

Followed are affine steps by constants, Cast, what moves data, and pools and Resize, which leave the
mean of a smooth picture and nearly its deviation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.graph.extents import is_one_picture
from spiq.graph.query import constant, dims, ints, is_constant, weight_nodes
from spiq.passes.batchnorm import Moments, batchnorm_affine, weight_and_bias
from spiq.passes.cleanup import kernel_shape
from spiq.passes.prepare import Prepared
from spiq.stats.channel import Array
from spiq.stats.movers import MOVERS
from spiq.stats.routing import gather, route
from spiq.stats.rules.linear import grouped

NEIGHBOURS, COLOURS = 0.95, 0.9
CORRELATED = (0.0, 0.5, 0.8, 0.95, 0.99)
"""Correlations of neighbours that are thought of in what is no picture."""

_LEAST_TOLD = 1e-4
"""Share of their size that kernels have to keep when summed, to tell the input's mean."""

_ALIKE = frozenset({"AveragePool", "Cast", "Identity", "MaxPool", "Resize", "Upsample"})


@dataclass(frozen=True)
class FirstLayer:
    """Equations of one layer's outputs, arrays of shape (O,).

    Attributes:
        sums: What the mean of the input is multiplied by.
        sizes: The same of the weights' absolute values.
        response: Deviation of the outputs for a picture of deviation 1.
        responses: The same for inputs whose neighbours are correlated by each of ``CORRELATED``
            and whose channels are not, shape (correlations, O).
        offset: Mean of the outputs for a picture of mean 0.
        biased: Whether the layer has biases of its own.
        stated: What a normalization layer states of the outputs.
    """

    sums: Array
    sizes: Array
    response: Array
    responses: Array
    offset: Array
    biased: bool
    stated: Moments | None


@dataclass(frozen=True)
class _View:
    """A tensor a x + b, a and b in the tensor's layout."""

    a: Array
    b: Array


def first_layers(value: ir.Value, prepared: Prepared, axis: int = 1) -> list[FirstLayer]:
    """Return the equations that a network's first layers state of ``value``, an input.

    Args:
        value: The input.
        prepared: The network.
        axis: Where its channels are.
    """
    shape = dims(value)
    if shape is None or len(shape) < 2:
        return []
    layout = [size or 1 if index == axis else 1 for index, size in enumerate(shape)]
    views = {value: _View(np.ones(layout), np.zeros(layout))}
    layers, found = set(weight_nodes(prepared.model.graph)), list[FirstLayer]()
    found += _stated_of_view(value, views[value], prepared)
    for node in prepared.model.graph:
        source = node.inputs[0] if node.inputs else None
        if node in layers:
            found += _layer(node, views[source], prepared) if source in views else []
            continue
        for result, view in _through(node, views).items():
            views[result] = view
            found += _stated_of_view(result, view, prepared)
    return found


def _stated_of_view(value: ir.Value, view: _View, prepared: Prepared) -> Iterator[FirstLayer]:
    stated = prepared.stated.get(str(value.name))
    a, b = view.a.reshape(-1), view.b.reshape(-1)
    if stated is not None and len(stated.mean) % len(a) == 0:
        a, b = (np.resize(part, len(stated.mean)) for part in (a, b))
        size = np.abs(a)
        yield FirstLayer(a, size, size, np.tile(size, (len(CORRELATED), 1)), b, False, stated)


def _through(node: ir.Node, views: Mapping[ir.Value, _View]) -> dict[ir.Value, _View]:
    """Return the outputs of a node that still are a x + b."""
    sources = [value for value in node.inputs if value is not None and not is_constant(value)]
    known = [views[value] for value in sources if value in views]
    if node.domain != "" or not known or len(known) < len(sources):
        return {}
    if node.op_type in _ALIKE or (node.op_type == "Pad" and _in_space(node)):
        return {node.outputs[0]: known[0]}
    if node.op_type in MOVERS:
        return _moved(node, known)
    step = _affine(node, known[0]) if len(known) == 1 else None
    return {} if step is None else {node.outputs[0]: step}


def _in_space(node: ir.Node) -> bool:
    pads = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    half = 0 if pads is None else len(pads) // 2
    return pads is not None and not pads[:2].any() and not pads[half : half + 2].any()


def _moved(node: ir.Node, known: list[_View]) -> dict[ir.Value, _View]:
    maps = route(node, [view.a.shape for view in known])
    if maps is None:
        return {}
    parts = [[view.a for view in known], [view.b for view in known]]
    moved = [_View(*(gather(entry, part) for part in parts)) for entry in maps]
    return dict(zip(node.outputs, moved, strict=False))


def _affine(node: ir.Node, view: _View) -> _View | None:
    """Return what a step by a constant, or a BatchNormalization, makes of a x + b."""
    if node.op_type == "BatchNormalization" and all(map(is_constant, node.inputs[1:5])):
        layout = (1, -1) + (1,) * (view.a.ndim - 2)
        factor, shift = (array.reshape(layout) for array in batchnorm_affine(node))
        return _View(factor * view.a, factor * view.b + shift)
    if node.op_type == "Neg":
        return _View(-view.a, -view.b)
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    first = is_constant(node.inputs[0])
    array = constant(node.inputs[0] if first else node.inputs[1])
    other = None if array is None else _in_layout(array, view.a.ndim, view.a.shape)
    if other is None or (first and node.op_type == "Div"):
        return None
    if node.op_type in ("Add", "Sub"):
        sign = -1 if node.op_type == "Sub" else 1
        moved = view if not (first and sign < 0) else _View(-view.a, -view.b)
        return _View(moved.a + 0 * other, moved.b + (other if first else sign * other))
    if node.op_type == "Div" and not other.all():
        return None
    factor = other if node.op_type == "Mul" else 1 / other
    return _View(factor * view.a, factor * view.b)


def _in_layout(array: np.ndarray, rank: int, layout: tuple[int, ...]) -> Array | None:
    """Return a constant operand with one number per channel: a mean picture becomes its mean."""
    if array.ndim > rank or array.dtype.kind not in "fiu":
        return None
    aligned = np.asarray(array, np.float64).reshape((1,) * (rank - array.ndim) + array.shape)
    spread = tuple(axis for axis, size in enumerate(layout) if size == 1 and axis != 1)
    averaged: Array = aligned.mean(axis=spread, keepdims=True)
    return averaged if np.isfinite(averaged).all() else None


def _layer(node: ir.Node, view: _View, prepared: Prepared) -> list[FirstLayer]:
    """Return the equations of a layer on a x + b; none where positions differ."""
    weight, bias = weight_and_bias(node)
    split = grouped(node, weight).astype(np.float64)
    groups, outputs, inputs, _ = split.shape
    if any(size > 1 for axis, size in enumerate(view.a.shape) if axis != 1):
        return []
    if view.a.size not in (1, groups * inputs):
        return []
    a, b = (
        np.broadcast_to(part.reshape(-1), groups * inputs).reshape(groups, 1, inputs, 1)
        for part in (view.a, view.b)
    )
    scaled = split * a
    response, *others = (
        np.sqrt(np.maximum(_power(node, scaled, along, across), 0)).reshape(groups * outputs)
        for along, across in [(NEIGHBOURS, COLOURS), *((c, 0.0) for c in CORRELATED)]
    )
    own = bool(np.any(bias)) and prepared.stated.get(str(node.outputs[0].name)) is None
    return [
        FirstLayer(
            scaled.sum(axis=(2, 3)).reshape(-1),
            np.abs(scaled).sum(axis=(2, 3)).reshape(-1),
            response,
            np.array(others),
            bias + (split * b).sum(axis=(2, 3)).reshape(-1),
            biased=own,
            stated=prepared.stated.get(str(node.outputs[0].name)),
        )
    ]


def _power(node: ir.Node, split: Array, neighbours: float, colours: float) -> Array:
    """Return w^T R w of kernels (g, O/g, C/g, K), for an input of variance 1.

    With colours correlated by c, R is c (1 1^T) x T + (1 - c) I x T, T between the taps.
    """
    kernel = kernel_shape(node) if node.op_type in ("Conv", "ConvTranspose") else [1]
    spacing = ints(node, "dilations", [1] * len(kernel))
    taps: Array = np.ones((1, 1))
    for size, step in zip(kernel, spacing, strict=True):
        away = step * np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
        taps = np.asarray(np.kron(taps, neighbours**away), np.float64)
    alone = ((split @ taps) * split).sum(axis=(2, 3))
    summed = split.sum(axis=2)
    together = ((summed @ taps) * summed).sum(axis=2)
    power: Array = (1 - colours) * alone + colours * together
    return power


def channel_axis(value: ir.Value) -> int:
    """Return where an input's channels are.

    That is the axis which Transposes in front of the first layers make the second one, behind
    Casts and arithmetic or not; the last one where layers on tokens read it; and the second one
    where there is none, but the first one of a picture without a batch.
    """
    rank = len(dims(value) or [])
    if is_one_picture(dims(value) or []):
        return 0
    orders, ends = {value: tuple(range(rank))}, set[int]()
    waiting = [value]
    while waiting:
        current = waiting.pop()
        for node in current.consumers():
            order = orders[current]
            if node.op_type in ("Shape", "Size"):
                continue
            if node.op_type == "Transpose":
                turned = ints(node, "perm", list(range(rank))[::-1])
                order = tuple(order[axis] for axis in turned)
            elif node.op_type not in _KEEPS_AXES or len(dims(node.outputs[0]) or order) != len(
                order
            ):
                ends.add(order[-1 if _takes_last(node, current) else min(1, len(order) - 1)])
                continue
            orders[node.outputs[0]] = order
            waiting.append(node.outputs[0])
    return ends.pop() if len(ends) == 1 else 1


def _takes_last(node: ir.Node, value: ir.Value) -> bool:
    """Return whether a node takes channels along the last axis of ``value``, as of tokens."""
    shape = dims(value) or []
    if node.op_type == "Reshape":  # to rows, for a Gemm
        rows = dims(node.outputs[0]) or []
        return len(shape) > 2 and len(rows) == 2 and rows[1] == shape[-1] is not None
    if node.op_type == "MatMul":
        return node.inputs[0] is value and is_constant(node.inputs[1])
    if node.op_type == "LayerNormalization":
        return node.attributes.get_int("axis", -1) in (-1, len(shape) - 1)
    return node.op_type in _ON_LAST


_ON_LAST = frozenset({"GRU", "LSTM", "RMSNormalization", "RNN"})

_KEEPS_AXES = frozenset({"Add", "Cast", "Clip", "Div", "Gather", "Identity", "Mul", "Neg", "Pad",
                         "Resize", "Slice", "Sub"})  # fmt: skip


def moments(
    layers: Sequence[FirstLayer], *, pictures: bool = True
) -> tuple[float | None, float] | None:
    """Return the mean and the deviation of the input that the layers were trained on.

    The mean is None where kernels that sum to 0 (a high-pass stem) say nothing of it; the whole is
    None where nothing states a moment.

    Args:
        layers: The equations.
        pictures: Whether neighbours and colours are correlated as in pictures; if not, neighbours
            as fits all outputs best.
    """
    told = [(layer, layer.stated) for layer in layers if layer.stated is not None]
    if not told:
        return None
    sums, size, offset = (
        np.concatenate([getattr(layer, name) for layer, _ in told])
        for name in ("sums", "sizes", "offset")
    )
    wanted = np.concatenate([stated.mean for _, stated in told]) - offset
    var = np.concatenate([stated.var for _, stated in told])
    power = _fitting([layer for layer, _ in told], var, pictures=pictures) ** 2
    live = (power > 1e-12 * power.max()) & np.isfinite(wanted + var)
    if not live.any() or not (var[live] > 0).any():
        return None
    std = float(np.sqrt(np.median(var[live] / power[live])))
    if not std > 0:
        return None
    trust = 1 / (power[live] * std**2)
    weight = float((trust * sums[live] ** 2).sum())
    if weight < _LEAST_TOLD * float((trust * size[live] ** 2).sum()):
        return None, std
    return float((trust * sums[live] * wanted[live]).sum() / weight), std


def _fitting(layers: Sequence[FirstLayer], var: Array, *, pictures: bool) -> Array:
    """Return the response of each output, by the correlation that explains variances best."""
    if pictures:
        return np.concatenate([layer.response for layer in layers])
    each = np.concatenate([layer.responses for layer in layers], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(var / np.square(each))
    scatter = [np.std(row[np.isfinite(row)]) if np.isfinite(row).any() else np.inf for row in ratio]
    return np.asarray(each[int(np.argmin(scatter))])
