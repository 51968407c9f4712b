"""Channels of zeros, so that the runtime's kernels meet as many channels as they are fast for.

A channel that is written by weights of zero and read by weights of zero changes no result. ONNX
Runtime's integer kernels on x86 are made for multiples of 16 (measured, one core, 28 x 28, 3 x 3):

- Depthwise convolutions of other numbers take a path of twice the time: 24 channels 26 us where 32
  take 16, 120 channels 86 us where 128 take 37.
- Convolutions with fewer outputs than 16 take longer than with 16: 8 outputs 28 us, 16 outputs 15.
- The first convolution, on images of three channels, takes about 1.7 times as long as on four
  (224 x 224, 32 outputs: 369 and 200 us, and 10 for the pad).

Channels are added to tensors that layers on integers alone write and read, with whatever works on
each channel by itself between: sums, products, pools, activations.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, unique_name
from spiq.graph.query import constant, data_inputs, dims, is_constant
from spiq.planning.placement.components import components

_BY_CHANNEL = frozenset({"Add", "AveragePool", "Clip", "DequantizeLinear", "GlobalAveragePool",
                         "HardSigmoid", "LeakyRelu", "MaxPool", "Mul", "QuantizeLinear", "Relu",
                         "Sigmoid"})  # fmt: skip
"""Operators that work on each channel by itself, and alike."""

_FEWEST = 8192
"""Elements of a tensor from which on there is something to gain."""

_COLOURS, _FAST_COLOURS = 3, 4


def pad_channels(graph: ir.Graph, multiple: int) -> int:
    """Add channels to an emitted network, in place; return to how many tensors.

    Args:
        graph: The network with QuantizeLinear and DequantizeLinear where they belong.
        multiple: How many channels kernels are made for; 0 leaves the network as it is.
    """
    if multiple < 2:
        return 0
    changed = 0
    for alike in _classes(graph):
        channels = alike.channels
        padded = -(-channels // multiple) * multiple
        if padded > channels and alike.gains(padded, multiple):
            changed += alike.pad(graph, padded)
    return changed + _pad_colours(graph)


@dataclass
class _Alike:
    """Tensors whose channels are the same ones.

    Attributes:
        channels: How many there are.
        values: The tensors.
        written: Layers that write them.
        read: Layers that mix them.
    """

    channels: int
    values: list[ir.Value] = field(default_factory=list)
    written: list[ir.Node] = field(default_factory=list)
    read: list[ir.Node] = field(default_factory=list)

    def gains(self, padded: int, multiple: int) -> bool:
        """Return whether kernels are faster with ``padded`` channels."""
        slow = any(_is_depthwise(node) or padded == multiple for node in self.written)
        elements = max(map(_elements, self.values)) / self.channels * padded
        return slow and padded <= 2 * self.channels and elements >= _FEWEST

    def pad(self, graph: ir.Graph, padded: int) -> int:
        """Add channels up to ``padded``; return to how many tensors."""
        more = padded - self.channels
        for node in self.written:
            _pad_rows(graph, node, more)
        for node in self.read:
            _pad_columns(graph, node, more)
        for value in self.values:
            assert value.shape is not None
            value.shape = ir.Shape([value.shape[0], padded, *value.shape[2:]])
        return len(self.values)


def _classes(graph: ir.Graph) -> Iterator[_Alike]:
    """Yield tensors whose channels may be added to, together."""
    numbers: dict[ir.Value, int] = {}
    ties: list[tuple[int, int]] = []
    fixed = {*graph.inputs, *graph.outputs}
    layers = [node for node in graph if _is_layer(node)]
    for node in graph:
        tied = _tied(node)
        if tied is None:
            fixed.update(data_inputs(node), node.outputs)
            continue
        ids = [numbers.setdefault(value, len(numbers)) for value in tied]
        ties += [(ids[0], other) for other in ids[1:]]

    pairs = np.array(ties, np.int64).reshape(-1, 2)
    roots = components(len(numbers), [pairs[:, 0]], [pairs[:, 1]])
    found: dict[int, list[ir.Value]] = {}
    for value, number in numbers.items():
        found.setdefault(int(roots[number]), []).append(value)
    for values in found.values():
        channels = {_channels(value) for value in values}
        count = channels.pop()
        if channels or count is None or not fixed.isdisjoint(values):
            continue
        within = set(values)
        yield _Alike(
            channels=count,
            values=values,
            written=[node for node in layers if node.outputs[0] in within],
            read=[node for node in layers if node.inputs[0] in within and not _is_depthwise(node)],
        )


def _tied(node: ir.Node) -> list[ir.Value] | None:
    """Return the tensors that a node ties together, if it leaves their channels free."""
    sources = data_inputs(node)
    if not sources:
        return []
    if _is_layer(node):
        return [node.inputs[0], node.outputs[0]] if _is_depthwise(node) else []  # type: ignore[list-item]
    if node.domain != "" or node.op_type not in _BY_CHANNEL or len(node.outputs) != 1:
        return None
    constants = [constant(value) for value in node.inputs if is_constant(value)]
    if any(array is None or array.size != 1 for array in constants):
        return None
    return [*sources, node.outputs[0]]


def _is_layer(node: ir.Node) -> bool:
    """Return whether a node is a convolution on integers, dense or depthwise."""
    if node.op_type != "Conv" or node.domain != "" or not is_constant(_read(node, 1)):
        return False
    return node.attributes.get_int("group", 1) == 1 or _is_depthwise(node)


def _is_depthwise(node: ir.Node) -> bool:
    groups = node.attributes.get_int("group", 1)
    return 1 < groups == _channels(node.inputs[0]) == _channels(node.outputs[0])


def _read(node: ir.Node, index: int) -> ir.Value | None:
    """Return what the DequantizeLinear in front of an input reads."""
    value = node.inputs[index] if len(node.inputs) > index else None
    back = value.producer() if value is not None else None
    return back.inputs[0] if back is not None and back.op_type == "DequantizeLinear" else None


def _channels(value: ir.Value | None) -> int | None:
    shape = dims(value)
    return shape[1] if shape is not None and len(shape) == 4 else None


def _elements(value: ir.Value) -> float:
    """Return the size of a tensor for one image; infinite where it is open."""
    shape = dims(value)
    assert shape is not None
    return math.prod(math.inf if size is None else size for size in shape[1:])


def _pad_rows(graph: ir.Graph, node: ir.Node, more: int) -> None:
    """Let a layer write more channels, of zeros."""
    if _is_depthwise(node):
        groups = node.attributes.get_int("group", 1)
        node.attributes.add(ir.AttrInt64("group", groups + more))
    for index in range(1, len(node.inputs)):
        back = node.inputs[index].producer()  # type: ignore[union-attr]
        assert back is not None
        for place, value in enumerate(back.inputs):
            array = constant(value)
            assert array is not None
            widths = [(0, more), *[(0, 0)] * (array.ndim - 1)]
            # zeros, on the steps of the last channel
            made = np.pad(array, widths, mode="edge" if place == 1 else "constant")
            back.replace_input_with(place, initializer(graph, str(value.name), made))
        back.outputs[0].shape = back.inputs[0].shape  # type: ignore[union-attr]


def _pad_columns(graph: ir.Graph, node: ir.Node, more: int) -> None:
    """Let a layer read more channels, by weights of zero."""
    back = node.inputs[1].producer()  # type: ignore[union-attr]
    assert back is not None
    weight = back.inputs[0]
    array = constant(weight)
    assert array is not None and weight is not None
    made = np.pad(array, [(0, 0), (0, more), *[(0, 0)] * (array.ndim - 2)])
    back.replace_input_with(0, initializer(graph, str(weight.name), made))
    back.outputs[0].shape = back.inputs[0].shape  # type: ignore[union-attr]


def _pad_colours(graph: ir.Graph) -> int:
    """Let convolutions read images of three channels as four."""
    changed = 0
    for back in list(graph):
        stored = _stored_colours(back)
        if stored is None:
            continue
        name = unique_name(graph, f"{stored.name}_padded")
        shape = ir.Shape([stored.shape[0], _FAST_COLOURS, *stored.shape[2:]])  # type: ignore[index]
        padded = ir.Value(name=name, type=stored.type, shape=shape)
        widths = [0, 0, 0, 0, 0, _FAST_COLOURS - _COLOURS, 0, 0]
        amounts = initializer(graph, f"{name}_by", np.array(widths, np.int64))
        pad = ir.node("Pad", [stored, amounts, back.inputs[2]], outputs=[padded], name=name)
        graph.insert_before(back, pad)
        back.replace_input_with(0, padded)
        back.outputs[0].shape = shape
        for reader in back.outputs[0].consumers():
            _pad_columns(graph, reader, _FAST_COLOURS - _COLOURS)
        changed += 1
    return changed


def _stored_colours(back: ir.Node) -> ir.Value | None:
    """Return the integers of three channels that convolutions alone read through ``back``."""
    if back.op_type != "DequantizeLinear" or back.outputs[0].is_graph_output():
        return None
    stored, readers = back.inputs[0], back.outputs[0].consumers()
    if not readers or _channels(stored) != _COLOURS or is_constant(stored) or stored is None:
        return None
    fits = all(_is_layer(node) and not _is_depthwise(node) for node in readers)
    return stored if fits and max(map(_written, readers)) >= _FEWEST else None


def _written(node: ir.Node) -> float:
    return _elements(node.outputs[0]) if _channels(node.outputs[0]) else 0
