"""Make the plan: place, then choose ranges and scales group by group."""

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
import onnx_ir as ir

from spiq.config import Config
from spiq.errors import ConfigError, UnsupportedError
from spiq.graph.query import data_inputs, weight_nodes
from spiq.methods import METHODS, Method
from spiq.planning.choose.bits import Bits, choose_bits
from spiq.planning.choose.mixed import mix_bits, uniform
from spiq.planning.choose.scales import Channels, Scaled, Sum, decide
from spiq.planning.errors.error_model import freedom_of
from spiq.planning.errors.importance import importance_of
from spiq.planning.errors.ranges import Range, soft_ranges
from spiq.planning.errors.weight_error import weight_error
from spiq.planning.placement.groups import groups
from spiq.planning.placement.place import LAYERS, ROUNDS, Placement, place
from spiq.planning.placement.place_dynamic import place_dynamic
from spiq.planning.plan.entries import LayerPlan, TensorPlan
from spiq.planning.plan.values import Plan
from spiq.stats.channel import Array
from spiq.stats.propagate import Measured
from spiq.targets import TARGETS, Target


def make_plan(
    graph: ir.Graph,
    measured: Measured,
    config: Config,
    *,
    model_hash: str,
    version: str,
    notes: tuple[str, ...] = (),
) -> tuple[Plan, Placement]:
    """Decide everything about the quantization of a prepared network.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        config: The options.
        model_hash: Hash of the model as it was given.
        version: Version of spiq.
        notes: Assumptions made on the way, kept in the plan.

    Returns:
        The plan, and the placement that it is for.

    Raises:
        UnsupportedError: No layer can be quantized; the message says why.
        ConfigError: A pattern of ``exclude`` matches no layer.
    """
    target, method = TARGETS[config.target], METHODS[config.method]
    placement = placed(graph, measured, target, method, excluded(graph, config.exclude))
    if not any(node.op_type in LAYERS for node in placement.integer):
        reasons = sorted(set(placement.reasons.values()))
        raise UnsupportedError(f"nothing to quantize: every layer stays in float ({reasons[0]})")
    bits = choose_bits(graph, placement, uniform(graph, placement, config))
    importance = importance_of(graph, measured)
    ranges = soft_ranges(graph, measured, np.array(method.widths))
    tensors: dict[str, TensorPlan] = {}
    for group in groups(placement):
        tensors |= _decide_group(group, placement, measured, importance, ranges, bits, method)
    made = Plan(
        model_hash=model_hash,
        version=version,
        method=config.method,
        target=config.target,
        activation_bits=config.activation_bits,
        weight_bits=min(config.weight_bits, target.weight_bits),
        inputs=_inputs(graph, measured),
        tensors={str(value.name): tensors[str(value.name)] for value in placement.grids},
        layers={
            str(node.name): LayerPlan(
                bits=bits.layers[node],
                rounding="nearest" if node.op_type == "BatchNormalization" else method.rounding,
                bias_correction=method.bias_correction,
                input_bits=bits.inputs.get(node),
            )
            for node in placement.integer
            if node in bits.layers
        },
        left_in_float={str(node.name): reason for node, reason in placement.reasons.items()},
        notes=notes,
    )
    if config.mixed:
        made = mix_bits(graph, made, placement, measured, config)
    return made, placement


def placed(
    graph: ir.Graph,
    measured: Measured,
    target: Target,
    method: Method,
    exclude: Mapping[str, str],
) -> Placement:
    """Decide what runs on integers: arguments as for :func:`place`."""
    if method.dynamic:
        return place_dynamic(graph, target, exclude)
    return place(graph, measured, target, exclude)


def excluded(graph: ir.Graph, patterns: Sequence[str]) -> dict[str, str]:
    """Return the names of the layers that match the patterns of ``exclude``, and the reason.

    Raises:
        ConfigError: A pattern matches none; the message names layers that come close.
    """
    names = [str(node.name) for node in weight_nodes(graph)]
    reasons: dict[str, str] = {}
    for pattern in patterns:
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            close = difflib.get_close_matches(pattern.strip("*?"), names, n=3, cutoff=0.5)
            some = ", ".join(repr(name) for name in close or names[:3])
            hint = f"did you mean {some}?" if close else f"layers have names like {some}"
            raise ConfigError(f"exclude {pattern!r} matches no layer: {hint}")
        reasons |= dict.fromkeys(matching, "excluded")
    return reasons


def _inputs(
    graph: ir.Graph, measured: Measured
) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    stats = {value: measured.stats[value] for value in graph.inputs if value in measured.stats}
    return {
        str(value.name): (_ends(known.low), _ends(known.high)) for value, known in stats.items()
    }


def _ends(ends: Array) -> tuple[float, ...]:
    """Return one number where all channels have the same."""
    numbers = tuple(map(float, ends.reshape(-1)))
    return numbers[:1] if len(set(numbers)) == 1 else numbers


def _decide_group(
    group: Sequence[ir.Value],
    placement: Placement,
    measured: Measured,
    importance: Mapping[ir.Value, Array],
    ranges: Mapping[ir.Value, Range],
    bits: Bits,
    method: Method,
) -> dict[str, TensorPlan]:
    widths = np.array(method.widths)
    members = [
        _channels(value, placement, measured, importance, ranges[value], widths) for value in group
    ]
    readers = [
        weight_error(node, placement, measured, importance, bits.layers[node])
        for value in group
        for node in value.consumers()
        if node in placement.integer and node.op_type in LAYERS
    ]
    grids = {placement.grids[value]: bits.tensors[value] for value in group}
    sums = _sums(group, placement)
    scaled = decide(members, readers, placement.pinned, sums, bits=grids, method=method)
    first = {t.grid: str(t.value.name) for t in reversed(members)}
    names = [str(t.value.name) for t in members]
    return {
        name: TensorPlan(
            bits=grids[t.grid],
            zero=_short(scaled.zero_points[t.grid] / (2 ** grids[t.grid] - 1)),
            low=tuple(map(_short, t.low[:, scaled.widths[t.grid]])),
            high=tuple(map(_short, t.high[:, scaled.widths[t.grid]])),
            layout=placement.classes[t.value].shape,
            alpha=scaled.alpha,
            grid_of=first[t.grid] if first[t.grid] != name else None,
            scale_of=names[0] if names[0] != name else None,
            step_of=_step_of(t, scaled, members),
        )
        for name, t in zip(names, members, strict=True)
    }


def _short(number: float) -> float:
    """Return a number to six digits: what is written into a plan is what people will read."""
    return float(f"{number:.6g}")


def _channels(
    value: ir.Value,
    placement: Placement,
    measured: Measured,
    importance: Mapping[ir.Value, Array],
    span: Range,
    widths: Array,
) -> Channels:
    known, producer = measured.stats[value], value.producer()
    moved = (
        producer is not None and producer in placement.integer and producer.op_type not in ROUNDS
    )
    return Channels(
        value=value,
        grid=placement.grids[value],
        classes=placement.classes[value].reshape(-1),
        low=span[0].reshape(-1, len(widths)),
        high=span[1].reshape(-1, len(widths)),
        hard_low=known.low.reshape(-1),
        hard_high=known.high.reshape(-1),
        power=known.second_moment.reshape(-1),
        importance=importance[value].reshape(-1),
        rounds=not moved,
        saturates=producer in placement.absorbed,
        widths=widths,
        freedom=freedom_of(value),
    )


def _sums(group: Sequence[ir.Value], placement: Placement) -> list[Sum]:
    """Return the Adds on integers within a group."""
    members = set(group)
    found = []
    for node in placement.integer:
        operands = data_inputs(node) if node.op_type == "Add" else []
        if len(operands) == 2 and members.issuperset(operands):
            result = placement.stored_output(node.outputs[0])
            found.append(tuple(placement.grids[value] for value in (*operands, result)))
    return found  # type: ignore[return-value]


def _step_of(t: Channels, scaled: Scaled, members: Sequence[Channels]) -> str | None:
    """Return the first tensor of another grid, if any, that shares the step of ``t``."""
    number = scaled.shared.get(t.grid, t.grid)
    first = next(other for other in members if scaled.shared.get(other.grid, other.grid) == number)
    return str(first.value.name) if first.grid != t.grid else None
