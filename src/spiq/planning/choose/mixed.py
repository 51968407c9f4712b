"""Mixed precision: a plan whose weights have so many bits on average, or take so many bytes.

Bits are shared out by :func:`spiq.planning.choose.bits.share_bits`, by the error of each layer on
the channel scales that the plan has. A BatchNormalization that runs on integers has one weight for
each scale, which is exact at any number of bits.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from spiq.config import Config
from spiq.errors import ConfigError
from spiq.graph.query import is_constant, stored_shape, weight_nodes
from spiq.planning.choose.bits import (
    FEWEST,
    BitCosts,
    first_and_last,
    reasons,
    share_bits,
    weighted,
)
from spiq.planning.errors.importance import importance_of
from spiq.planning.errors.weight_error import errors_by_bits
from spiq.planning.placement.values import Placement, is_layer
from spiq.planning.plan.resolve import resolve
from spiq.planning.plan.values import Plan
from spiq.stats.channel import Array
from spiq.stats.propagate import Measured
from spiq.targets import TARGETS, WEIGHT_BITS, Weights

_LIKENESS = 0.5
"""How far errors of weights are passed as the signal is. Layer by layer, at 4 bits and on real
images, the ratio of found to expected error is steadiest at 0.25 to 0.75 for MobileNetV1 (two of
them) and ResNet-8, at 0.75 to 1 for ResNet-20 and at 1 for ResNet-56.
"""


def uniform(graph: ir.Graph, placement: Placement, config: Config) -> Config:
    """Return the options with the same bits for all layers in place of mixed ones, about as many.

    Channel scales are chosen for these: where weights are coarse, other scales do best.

    Args:
        graph: The prepared network.
        placement: What runs on integers.
        config: The options.

    Raises:
        ConfigError: Even the fewest bits are too many.
    """
    if not config.mixed:
        return config
    nodes = weighted(placement)
    counts = {str(node.name): _count(node) for node in nodes}
    if not counts:  # nothing to share out
        return replace(config, bits_per_weight=None, max_bytes=None)
    mean = _budget(graph, nodes, counts, {}, config) / sum(counts.values())
    bits = min(max(round(mean), FEWEST), WEIGHT_BITS)
    return replace(config, bits_per_weight=None, max_bytes=None, weight_bits=bits)


def mix_bits(
    graph: ir.Graph,
    plan: Plan,
    placement: Placement,
    measured: Measured,
    config: Config,
) -> Plan:
    """Return the plan with bits for each layer, as ``bits_per_weight`` or ``max_bytes`` says.

    Args:
        graph: The prepared network.
        plan: The plan, all of whose layers have the same bits.
        placement: The placement that it is for.
        measured: Statistics of the network's tensors.
        config: The options.

    Raises:
        ConfigError: Even the fewest bits are too many.
    """
    nodes, importance = weighted(placement), importance_of(graph, measured, _LIKENESS)
    held = first_and_last(graph, nodes) if config.first_last_bits is not None else []
    counts = {str(node.name): _count(node) for node in nodes}
    fixed = {str(node.name): plan.layers[str(node.name)].bits for node in held}
    channel_scales = {
        name: np.array(stored.channel_scale)
        for name, stored in resolve(plan, placement).tensors.items()
    }

    # D_l(b) of each layer that is not held
    form = TARGETS[plan.target].weights
    errors = {
        str(node.name): _errors(node, channel_scales, measured, importance, form)
        for node in nodes
        if node not in held
    }

    layers = {name: BitCosts(counts[name], found) for name, found in errors.items()}
    bits = share_bits(layers, _budget(graph, nodes, counts, fixed, config))
    why = reasons(layers, bits)
    why |= {name: f"{count} bits, as a first or last layer" for name, count in fixed.items()}

    mixed = {
        name: replace(layer, bits=(bits | fixed)[name], reason=why[name])
        for name, layer in plan.layers.items()
    }
    return replace(plan, layers=mixed, notes=(*plan.notes, _note(plan, bits | fixed, counts)))


def _errors(
    node: ir.Node, channel_scales: Mapping[str, Array], measured: Measured,
    importance: Mapping[ir.Value, Array], form: Weights,
) -> dict[int, float]:  # fmt: skip
    tried = range(FEWEST, WEIGHT_BITS + 1)
    if not is_layer(node):
        return dict.fromkeys(tried, 0.0)
    source = node.inputs[0]
    assert source is not None
    sigma = channel_scales.get(str(source.name))
    return errors_by_bits(node, sigma, measured, importance, tried, form)


def _budget(
    graph: ir.Graph, nodes: list[ir.Node], counts: Mapping[str, int], fixed: Mapping[str, int],
    config: Config,
) -> float:  # fmt: skip
    """Return how many bits there are for the weights that are not fixed."""
    total, held = sum(counts.values()), sum(counts[name] * bits for name, bits in fixed.items())
    least = FEWEST * sum(counts[name] for name in counts if name not in fixed)
    if config.bits_per_weight is not None:
        budget = config.bits_per_weight * total
        if budget < held + least:
            raise ConfigError(
                f"bits_per_weight is {config.bits_per_weight:g}, and with first_last_bits it is "
                f"{(held + least) / total:.2f} where all other layers have {FEWEST}: allow more"
            )
        return budget - held
    assert config.max_bytes is not None
    others = fixed_bytes(graph, nodes)
    budget = 8 * (config.max_bytes - others)
    if budget < held + least:
        raise ConfigError(
            f"max_bytes is {config.max_bytes}, and weights of {FEWEST} bits, the fewest, take "
            f"{math.ceil((held + least) / 8) + others} bytes, of which {others} are biases, scales "
            "and layers left in float: allow more"
        )
    return budget - held


def fixed_bytes(graph: ir.Graph, nodes: list[ir.Node]) -> int:
    """Return the bytes of all that does not depend on the bits of weights.

    A scale and, save for MatMul, a bias of 4 bytes per output channel, and layers left in float.
    """
    integer = sum((4 if node.op_type == "MatMul" else 8) * _outputs(node) for node in nodes)
    in_float = [node for node in weight_nodes(graph) if node not in nodes]
    return integer + sum(4 * (_count(node) + _outputs(node)) for node in in_float)


def packed_bytes(graph: ir.Graph, plan: Plan) -> int:
    """Return the bytes that the weights take where each is packed to its bits."""
    nodes = [node for node in graph if node.name in plan.layers]
    weights = sum(-(-_count(node) * plan.layers[str(node.name)].bits // 8) for node in nodes)
    return weights + fixed_bytes(graph, nodes)


def bits_per_weight(graph: ir.Graph, plan: Plan) -> float:
    """Return the mean number of bits over all integer weights."""
    counts = {name: _count(node) for node in graph if (name := str(node.name)) in plan.layers}
    total = sum(counts[name] * plan.layers[name].bits for name in counts)
    return total / max(sum(counts.values()), 1)


def _count(node: ir.Node) -> int:
    return math.prod(stored_shape(node.inputs[1])) if is_constant(node.inputs[1]) else 0


def _outputs(node: ir.Node) -> int:
    if not is_constant(node.inputs[1]):
        return 0
    shape = stored_shape(node.inputs[1])
    if node.op_type == "ConvTranspose":
        return shape[1] * node.attributes.get_int("group", 1)
    return shape[-1 if node.op_type == "MatMul" else 0]


def _note(plan: Plan, bits: Mapping[str, int], counts: Mapping[str, int]) -> str:
    mean = sum(counts[name] * count for name, count in bits.items()) / sum(counts.values())
    return (
        f"weights have {mean:.2f} bits on average, {min(bits.values())} to {max(bits.values())} by "
        f"layer, where the expected error is least; activations keep {plan.activation_bits} bits"
    )
