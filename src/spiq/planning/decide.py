"""Make the plan: place, then choose grids and scales group by group."""

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
import onnx_ir as ir

from spiq.config import Config
from spiq.errors import ConfigError, UnsupportedError
from spiq.methods import METHODS
from spiq.network.query import weight_nodes
from spiq.planning.components import components
from spiq.planning.importance import importance
from spiq.planning.place import Placement, place
from spiq.planning.plan import LayerPlan, Plan, TensorPlan
from spiq.planning.ranges import Range, soft_ranges
from spiq.planning.scales import LAMBDAS, Scaled, decide, gather_channels
from spiq.planning.weight_error import weight_error
from spiq.stats.channel import Array
from spiq.stats.propagate import Measured
from spiq.stats.rules.types import channels
from spiq.targets import TARGETS

_LAYERS = ("Conv", "Gemm", "MatMul")


def make_plan(
    graph: ir.Graph,
    measured: Measured,
    config: Config,
    *,
    model_hash: str,
    version: str,
    notes: tuple[str, ...] = (),
) -> Plan:
    """Decide everything about the quantization of a prepared network.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        config: The options.
        model_hash: Hash of the model as it was given.
        version: Version of spiq.
        notes: Assumptions made on the way, kept in the plan.

    Raises:
        UnsupportedError: No layer can be quantized; the message says why.
        ConfigError: A pattern of ``exclude`` matches no layer.
    """
    check_exclude(graph, config.exclude)
    target = TARGETS[config.target]
    placement = place(graph, measured, target, config.exclude)
    if not any(node.op_type in _LAYERS for node in placement.integer):
        reasons = sorted(set(placement.reasons.values()))
        raise UnsupportedError(f"nothing to quantize: every layer stays in float ({reasons[0]})")
    weights = importance(graph, measured)
    ranges = soft_ranges(graph, measured, LAMBDAS)
    bits = min(config.weight_bits, target.weight_bits)
    tensors: dict[str, TensorPlan] = {}
    for group in _groups(placement):
        scaled = _decide_group(group, placement, measured, weights, ranges, config, bits)
        tensors.update({str(value.name): _tensor(value, placement, scaled) for value in group})
    order = [str(value.name) for value in placement.grids]
    return Plan(
        model_hash=model_hash,
        version=version,
        method=config.method,
        target=config.target,
        activation_bits=config.activation_bits,
        weight_bits=bits,
        integer=tuple(str(node.name) for node in placement.integer),
        absorbed=tuple(str(node.name) for node in placement.absorbed),
        tensors={name: tensors[name] for name in order},
        layers={
            str(node.name): _layer(node, measured, bits, METHODS[config.method].ROUNDING)
            for node in placement.integer
            if node.op_type in (*_LAYERS, "BatchNormalization")
        },
        left_in_float={str(node.name): reason for node, reason in placement.reasons.items()},
        notes=notes,
    )


def check_exclude(graph: ir.Graph, patterns: Sequence[str]) -> None:
    """Check that each pattern matches the name of a layer.

    Raises:
        ConfigError: One does not; the message names layers that come close.
    """
    names = [str(node.name) for node in weight_nodes(graph)]
    for pattern in patterns:
        if any(fnmatchcase(name, pattern) for name in names):
            continue
        close = difflib.get_close_matches(pattern.strip("*?"), names, n=3, cutoff=0.5)
        known = ", ".join(repr(name) for name in close or names[:3])
        hint = f"did you mean {known}?" if close else f"layers have names like {known}"
        raise ConfigError(f"exclude {pattern!r} matches no layer: {hint}")


def _groups(placement: Placement) -> list[list[ir.Value]]:
    """Split the stored tensors into groups that share neither a grid nor a channel scale."""
    values = list(placement.grids)
    members = [placement.classes[value].reshape(-1) for value in values]
    count = 1 + max(int(array.max()) for array in members)
    tensor = [np.full(array.shape, count + index) for index, array in enumerate(members)]
    grids = np.array([placement.grids[value] for value in values])
    own = np.arange(len(values)) + count
    names = components(count + len(values), [*members, own], [*tensor, count + grids])
    groups: dict[int, list[ir.Value]] = {}
    for index, value in enumerate(values):
        groups.setdefault(int(names[count + index]), []).append(value)
    return list(groups.values())


def _decide_group(
    group: Sequence[ir.Value],
    placement: Placement,
    measured: Measured,
    weights: Mapping[ir.Value, Array],
    ranges: Mapping[ir.Value, Range],
    config: Config,
    weight_bits: int,
) -> Scaled:
    members = [
        gather_channels(value, placement, measured, weights, ranges[value]) for value in group
    ]
    readers = [
        weight_error(node, placement, measured, weights, weight_bits)
        for value in group
        for node in value.consumers()
        if node in placement.integer and node.op_type in _LAYERS
    ]
    alphas = METHODS[config.method].ALPHAS
    return decide(members, readers, placement.pinned, bits=config.activation_bits, alphas=alphas)


def _tensor(value: ir.Value, placement: Placement, scaled: Scaled) -> TensorPlan:
    classes = placement.classes[value]
    return TensorPlan(
        grid=scaled.grids[placement.grids[value]],
        channel_scale=tuple(scaled.sigma[int(name)] for name in classes.reshape(-1)),
        layout=classes.shape,
        alpha=scaled.alpha,
        width=scaled.widths[placement.grids[value]],
    )


def _layer(node: ir.Node, measured: Measured, bits: int, rounding: str) -> LayerPlan:
    assert node.inputs[0] is not None
    if node.op_type == "BatchNormalization":
        return LayerPlan(bits=bits)
    mean = channels(measured.stats[node.inputs[0]].mean)
    return LayerPlan(bits=bits, rounding=rounding, input_mean=tuple(float(m) for m in mean))
