"""Write a ConvTranspose as a Conv whose outputs are woven together, for its integer kernel.

Along one axis, with kernel w of k taps, stride s and p numbers cropped in front,

    y[s q + r] = sum_d x[q - d] w[s d + r + p],    r = 0 .. s - 1,

so phase r of the output is a convolution of x, by the taps r + p, r + p + s, ... of w, backwards.
All phases take the same d, from -(s - 1 + p) / s to (k - 1 - p) / s, where those that w lacks are
zero; they are s (in two axes s^2) channels in the place of one, and DepthToSpace weaves them.

Sizes fit where s divides k + output_padding - pads. With k = s, as in most U-Nets, nothing is
computed twice; with 4 taps, stride 2 and 1 cropped, as in most generators, 2.25 times as much. A
ConvTranspose of 256 to 128 channels at 16 x 16 between two 3x3 convolutions, in ms (one core with
AMX; float, ``quantize_static``, this): k = 2, s = 2: 4.7, 2.3, 1.8; k = 4, s = 2: 6.9, 5.2, 2.9.

Weaving costs some 1.2 ns for each number that comes out, and a float ConvTranspose with few
multiplications for it is faster. Between two 1x1 convolutions, s = 2, with 8 to 256 channels and 1,
2 or 8 groups (39 networks), this one was faster than ``quantize_static``'s where

    multiplications for a number + 20 (k / s)^2 >= 140,

the second term being what float adds up where taps overlap: wrong for two, by 7 and 12 % of the
time. What has fewer stays as it is. Of networks left out, a U-Net of 13 layers, two of them now in
float, took 3.61 ms before and 3.53 after (``quantize_static`` 4.04 and 3.72), and ESPNet for CamVid
gained 0.8 dB.

On a map of one position (the first layer of a generator) it is a matrix product with all its taps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.edit import initializer, named_after, replace, unique_name
from spiq.graph.lazy import changed
from spiq.graph.query import Array, ints, spatial, stored_shape
from spiq.graph.shapes import infer
from spiq.passes.batchnorm import Moments
from spiq.passes.cleanup import kernel_shape
from spiq.passes.layer_weights import bias_of, can_take_rows

_DEAREST = 2.3
"""How many times the work of the ConvTranspose the convolution may have."""

_LEAST, _OVERLAP = 140, 20
"""Multiplications that pay for weaving, and what each overlap of taps counts for."""

Weight = npt.NDArray[np.generic]


class _Axis(NamedTuple):
    """Taps of the convolution along an axis, pads, and which tap of w each tap of each phase is."""

    taps: int
    begin: int
    end: int
    indices: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Phases:
    """What a ConvTranspose became.

    Attributes:
        whole: Its result.
        parts: The phases that are woven to it.
        power: Variance of each phase, that of the whole being 1, shape (O, phases).
    """

    whole: ir.Value
    parts: ir.Value
    power: Array

    def stated(self, moments: Moments) -> list[tuple[ir.Value, Moments]]:
        """Return what is stated of the result, of its phases too."""
        count = self.power.shape[1]
        mean, var = (np.repeat(part, count) for part in (moments.mean, moments.var))
        spread = Moments(mean, var * self.power.reshape(-1), moments.source)
        return [(self.whole, moments), (self.parts, spread)]


def phase_convolutions(model: ir.Model, *, small: bool = False) -> dict[ir.Value, Phases]:
    """Write them in place; return what became of the result of each.

    Args:
        model: The network.
        small: Write those, too, that multiply too little for it to pay in ONNX Runtime.
    """
    found: dict[ir.Value, Phases] = {}
    for node in list(model.graph):
        result = node.outputs[0]
        if _is_on_a_point(node):
            found[result] = _write_product(model.graph, node)
        elif (axes := _axes(node, small=small)) is not None:
            found[result] = _write(model.graph, node, axes)
    if found:
        infer(model)
    return found


def _is_on_a_point(node: ir.Node) -> bool:
    if node.op_type != "ConvTranspose" or not can_take_rows(node):
        return False
    plain = not any(map(any, (ints(node, "pads", []), ints(node, "output_padding", []))))
    plain &= node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    plain &= "output_shape" not in node.attributes and node.attributes.get_int("group", 1) == 1
    alone = all(step == 1 for step in ints(node, "dilations", []))
    return plain and alone and set(spatial(node.inputs[0]) or [0]) == {1}


def _write_product(graph: ir.Graph, node: ir.Node) -> Phases:
    weight, source, result = node.inputs[1], node.inputs[0], node.outputs[0]
    assert source is not None
    channels, outputs, *kernel = stored_shape(weight)
    count = int(np.prod(kernel))
    shape = (outputs * count, channels)
    made = changed(weight, partial(_rows, shape=shape), shape)
    power = _powers(made if isinstance(made, np.ndarray) else None, outputs, count)
    shift = np.repeat(bias_of(node), count).astype(np.float32)

    flat, rows = (
        ir.Value(name=unique_name(graph, f"{value.name}_{ending}"), type=source.type)
        for value, ending in ((source, "flat"), (result, "rows"))
    )
    flatten = ir.node("Flatten", [source], {"axis": 1}, outputs=[flat], name=flat.name)
    inputs = [flat, *(initializer(graph, named_after(weight, end), array)
                      for end, array in (("_rows", made), ("_bias", shift)))]  # fmt: skip
    gemm = ir.node("Gemm", inputs, {"transB": 1}, outputs=[rows], name=node.name)
    graph.insert_before(node, [flatten, gemm])
    sizes = initializer(graph, f"{rows.name}_shape", np.array([0, outputs, *kernel], np.int64))
    last = ir.node("Reshape", [rows, sizes], name=f"{rows.name}_laid_out")
    replace(node, last)
    return Phases(last.outputs[0], rows, power)


def _rows(weight: Weight, shape: tuple[int, ...]) -> Weight:
    """Return the matrix (O taps, C) of a ConvTranspose's weight (C, O, taps ...)."""
    return np.ascontiguousarray(weight.reshape(len(weight), -1).T).reshape(shape)


def _axes(node: ir.Node, *, small: bool) -> list[_Axis] | None:
    """Return what becomes of each axis; None where a node stays as it is."""
    if node.op_type != "ConvTranspose" or not can_take_rows(node):
        return None
    kernel = kernel_shape(node)
    size = len(kernel)
    strides, pads = ints(node, "strides", [1] * size), ints(node, "pads", [0] * (2 * size))
    more, spread = ints(node, "output_padding", [0] * size), ints(node, "dilations", [1] * size)
    plain = node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    plain &= "output_shape" not in node.attributes and set(spread) == {1}
    alike = len(set(strides)) == 1 and (size in (1, 2) or strides[0] == 1)
    if not plain or not alike or not (small or strides[0] == 1 or _pays(node, strides[0])):
        return None
    found = [
        _axis(*each) for each in zip(kernel, strides, pads[:size], pads[size:], more, strict=True)
    ]
    axes = [axis for axis in found if axis is not None]
    work = np.prod([strides[0] * axis.taps for axis in axes]) / np.prod(kernel)
    return axes if len(axes) == size and work <= _DEAREST else None


def _pays(node: ir.Node, stride: int) -> bool:
    """Return whether there is enough to multiply for each number that has to be woven."""
    channels, _, *kernel = stored_shape(node.inputs[1])
    overlaps = np.prod(kernel) / stride ** len(kernel)
    each = channels / node.attributes.get_int("group", 1) * overlaps
    return bool(each + _OVERLAP * overlaps >= _LEAST)


def _axis(taps: int, stride: int, begin: int, end: int, more: int) -> _Axis | None:
    first, last = -((stride - 1 + begin) // stride), (taps - 1 - begin) // stride
    sizes, rest = divmod(taps + more - begin - end, stride)
    behind = sizes - 1 - first
    if rest or last < 0 or behind < 0:
        return None
    phase, d = np.arange(stride)[:, None], np.arange(last, first - 1, -1)[None]
    indices = phase + begin + stride * d
    known = np.where((indices >= 0) & (indices < taps), indices, taps)
    return _Axis(d.size, last, behind, known)


def _write(graph: ir.Graph, node: ir.Node, axes: Sequence[_Axis]) -> Phases:
    weight, name, result = node.inputs[1], str(node.name), node.outputs[0]
    groups = node.attributes.get_int("group", 1)
    channels, outputs = stored_shape(weight)[:2]
    outputs *= groups
    stride = len(axes[0].indices)
    count = stride ** len(axes)
    shape = (outputs * count, channels // groups, *(axis.taps for axis in axes))
    indices = [axis.indices for axis in axes]
    made = changed(weight, partial(_phased, indices=indices, groups=groups), shape)
    power = _powers(made if isinstance(made, np.ndarray) else None, outputs, count)
    inputs = [node.inputs[0], initializer(graph, named_after(weight, "_phases"), made)]
    bias = bias_of(node)
    if bias.any():
        repeated = np.repeat(bias, count).astype(np.float32)
        inputs.append(initializer(graph, named_after(weight, "_bias"), repeated))

    pads = [axis.begin for axis in axes] + [axis.end for axis in axes]
    attributes: dict[str, Any] = {"kernel_shape": [*shape[2:]], "pads": pads}
    if groups > 1:
        attributes["group"] = groups
    if stride == 1:
        conv = ir.node("Conv", inputs, attributes, name=name)
        replace(node, conv)
        return Phases(conv.outputs[0], conv.outputs[0], power)
    parts = ir.Value(name=unique_name(graph, f"{result.name}_phases"), type=result.type)
    conv = ir.node("Conv", inputs, attributes, outputs=[parts], name=name)
    graph.insert_before(node, conv)
    last = _weave(graph, node, parts, outputs, stride, len(axes))
    replace(node, last)
    return Phases(last.outputs[0], parts, power)


def _weave(
    graph: ir.Graph, node: ir.Node, parts: ir.Value, outputs: int, stride: int, size: int
) -> ir.Node:
    """Return the node that makes the result of the phases, behind what it needs."""
    name = str(parts.name)
    if size > 1:
        woven: dict[str, Any] = {"blocksize": stride, "mode": "CRD"}
        return ir.node("DepthToSpace", [parts], woven, name=f"{name}_woven")

    def step(operator: str, source: ir.Value, given: Sequence[int], ending: str) -> ir.Node:
        made = ir.Value(name=unique_name(graph, f"{name}_{ending}"), type=parts.type)
        if operator == "Transpose":
            attributes: dict[str, Sequence[int]] = {"perm": given}
            return ir.node(operator, [source], attributes, outputs=[made], name=made.name)
        shape = initializer(graph, f"{made.name}_shape", np.array(given, np.int64))
        return ir.node(operator, [source, shape], outputs=[made], name=made.name)

    apart = step("Reshape", parts, [0, outputs, stride, -1], "apart")
    turned = step("Transpose", apart.outputs[0], [0, 1, 3, 2], "turned")
    graph.insert_before(node, [apart, turned])
    return step("Reshape", turned.outputs[0], [0, outputs, -1], "woven")


def _phased(weight: Weight, indices: Sequence[npt.NDArray[np.int64]], groups: int) -> Weight:
    """Return the weight (O phases, C / G, taps ...) of a ConvTranspose's (C, O / G, taps ...)."""
    parts = [_phased_group(part, indices) for part in np.split(weight, groups)]
    return parts[0] if groups == 1 else np.concatenate(parts)


def _phased_group(weight: Weight, indices: Sequence[npt.NDArray[np.int64]]) -> Weight:
    """Return the weight (O phases, C, taps ...) of a ConvTranspose's (C, O, taps ...)."""
    size = len(indices)
    padded = np.pad(weight, [(0, 0)] * 2 + [(0, 1)] * size)
    grids = [
        index.reshape([1] * (2 * at) + [*index.shape] + [1] * (2 * (size - 1 - at)))
        for at, index in enumerate(indices)
    ]
    places: tuple[Any, ...] = (slice(None), slice(None), *grids)
    taken = padded[places]  # (C, O, phase, taps, phase, taps ...)
    phases, taps = ([at + 2 * axis for axis in range(size)] for at in (2, 3))
    turned = taken.transpose(1, *phases, 0, *taps)
    rows = int(np.prod(turned.shape[: 1 + size]))
    made: Weight = turned.reshape(rows, len(weight), *turned.shape[2 + size :])
    return made


def _powers(weight: Weight | None, outputs: int, count: int) -> Array:
    """Return how the variance of a result is shared by its phases, by the norm of their taps."""
    if weight is None:
        return np.ones((outputs, count))
    rows = np.square(weight.astype(np.float64)).reshape(outputs, count, -1).sum(axis=2)
    mean = rows.mean(axis=1, keepdims=True)
    return np.asarray(np.where(mean > 0, rows / np.where(mean > 0, mean, 1), 1), np.float64)
