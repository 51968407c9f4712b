"""How many bits each stored tensor and each layer's weight gets.

All get the same, save the first and last layers where the options say so. Or the weights get so
many on average, each layer as many as do most good: with D_l(b) the expected error at the outputs
from rounding layer l's n_l weights to b bits,

    minimize  sum_l D_l(b_l)   where   sum_l n_l b_l <= budget,

by giving bits, from the fewest up, to where the error falls most for each bit of storage. D falls
about fourfold with each bit, so that this is the optimum but for what the last layers leave over.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from spiq.config import Config
from spiq.graph.query import data_inputs
from spiq.planning.placement.values import Placement, is_layer, is_product

FEWEST = 2
"""Bits of a weight, at least."""


@dataclass(frozen=True)
class Bits:
    """Bits of a network's integers.

    Attributes:
        tensors: Of each stored tensor.
        layers: Of the weight of each layer that runs on integers.
        inputs: Of the input of each such layer whose input is not stored, but rounded anew each
            time on a range of its own.
    """

    tensors: dict[ir.Value, int]
    layers: dict[ir.Node, int]
    inputs: dict[ir.Node, int]


def choose_bits(graph: ir.Graph, placement: Placement, config: Config) -> Bits:
    """Give all layers the same bits, save the first and the last ones where the options say so.

    Activations are what layers and products of tensors read. Other stored tensors, the operands of
    a sum for one, have at least 8 bits: where integers are narrower, they are accumulators on the
    way to the next activation. So has the network's input, unless it is narrowed by
    ``first_last_bits``: pixels come as 8 bits.

    A first layer reads an input of the network; from a last one no other layer is reached. With
    ``first_last_bits`` their weights and what they read have so many bits.

    Args:
        graph: The prepared network.
        placement: What runs on integers.
        config: The options.
    """
    layers, grids, own = weighted(placement), placement.grids, config.activation_bits
    read = _read_grids(layers, placement)
    found = Bits(
        tensors={value: own if grid in read else max(own, 8) for value, grid in grids.items()},
        layers=dict.fromkeys(layers, config.weight_bits),
        inputs={node: own for node in layers if data_inputs(node)[0] not in grids},
    )
    if config.first_last_bits is not None:
        for node in first_and_last(graph, layers):
            found.layers[node] = config.first_last_bits
            _narrow_input(node, found, placement, config.first_last_bits)
    return found


def _read_grids(layers: list[ir.Node], placement: Placement) -> set[int]:
    """Return the grids of what layers and products read, but for the network's input."""
    products = [node for node in placement.integer if is_product(node)]
    sources = [node.inputs[0] for node in layers]
    sources += [value for node in products for value in data_inputs(node)]
    return {
        placement.grids[source]
        for source in sources
        if source in placement.grids and not source.is_graph_input()
    }


def _narrow_input(node: ir.Node, found: Bits, placement: Placement, bits: int) -> None:
    """Give what a layer reads so many bits, and all that shares its grid."""
    if node in found.inputs:
        found.inputs[node] = bits
        return
    grid = placement.grids[data_inputs(node)[0]]
    found.tensors.update({value: bits for value, own in placement.grids.items() if own == grid})


def weighted(placement: Placement) -> list[ir.Node]:
    """Return the nodes on integers that have a weight."""
    return [n for n in placement.integer if is_layer(n) or n.op_type == "BatchNormalization"]


def first_and_last(graph: ir.Graph, layers: list[ir.Node]) -> list[ir.Node]:
    """Return the layers that read what no layer has written, and those that no layer reads."""
    written: set[ir.Value] = set()
    first = []
    for node in graph:
        if node in layers and not written.intersection(data_inputs(node)):
            first.append(node)
        if node in layers or written.intersection(data_inputs(node)):
            written.update(node.outputs)
    read: set[ir.Value] = set()
    last = []
    for node in reversed(list(graph)):
        if node in layers and not read.intersection(node.outputs):
            last.append(node)
        if node in layers or read.intersection(node.outputs):
            read.update(data_inputs(node))
    return [*first, *last]


@dataclass(frozen=True)
class BitCosts:
    """What it costs to round the weights of one layer to few bits.

    Attributes:
        count: How many they are.
        errors: The expected error at the network's outputs, by bits, the fewest first.
    """

    count: int
    errors: Mapping[int, float]


def share_bits(layers: Mapping[str, BitCosts], budget: float) -> dict[str, int]:
    """Give each layer bits so that the sum of all errors is least.

    Args:
        layers: The layers, by name.
        budget: Bits of storage for all weights together; no fewer than the fewest bits take.
    """
    bits = {name: min(layer.errors) for name, layer in layers.items()}
    left = budget - sum(layers[name].count * count for name, count in bits.items())
    steps = [step for name in layers for step in _step(name, layers[name], bits[name])]
    heapq.heapify(steps)
    while steps:
        _, name, target = heapq.heappop(steps)
        cost = layers[name].count * (target - bits[name])
        if cost <= left:
            left -= cost
            bits[name] = target
        elif target > bits[name] + 1:
            target = bits[name] + 1
            gain = layers[name].errors[bits[name]] - layers[name].errors[target]
            heapq.heappush(steps, (-gain / layers[name].count, name, target))
            continue
        else:
            continue
        for step in _step(name, layers[name], bits[name]):
            heapq.heappush(steps, step)
    return bits


def _step(name: str, layer: BitCosts, bits: int) -> list[tuple[float, str, int]]:
    """Return the step to more bits that gains most for each bit of storage: none, or one."""
    now = layer.errors[bits]
    gains = [
        ((layer.errors[more] - now) / ((more - bits) * layer.count), name, more)
        for more in layer.errors
        if more > bits
    ]
    return [min(gains)] if gains and min(gains)[0] < 0 else []


def reasons(layers: Mapping[str, BitCosts], bits: Mapping[str, int]) -> dict[str, str]:
    """Say of each layer why it has its bits: what one fewer would cost, and one more gain."""
    total = sum(layers[name].errors[count] for name, count in bits.items()) or 1.0
    found = {}
    for name, count in bits.items():
        errors = layers[name].errors
        parts = [f"{count} bits"]
        if count - 1 in errors:
            share = 100 * (errors[count - 1] - errors[count]) / total
            parts.append(f"one fewer would add {share:.2g} % to the error of all weights")
        if count + 1 in errors:
            share = 100 * (errors[count] - errors[count + 1]) / total
            parts.append(f"one more take off {share:.2g} %")
        found[name] = ": ".join([parts[0], ", ".join(parts[1:])])
    return found
