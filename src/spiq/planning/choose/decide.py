"""Make the plan: place, choose ranges and scales group by group, and write all of it down."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import onnx_ir as ir

from spiq.config import Config
from spiq.errors import UnsupportedError
from spiq.graph.query import where
from spiq.methods import METHODS, Method
from spiq.planning.choose.bits import Bits, choose_bits
from spiq.planning.choose.by_group import DecidedGroup, Deciding, one_by_one, together
from spiq.planning.choose.exclusion import excluded
from spiq.planning.choose.given_up import work
from spiq.planning.choose.mixed import mix_bits, uniform
from spiq.planning.choose.relief import Costs, relieved
from spiq.planning.choose.within import narrowed
from spiq.planning.errors.network_errors import Importance, network_errors
from spiq.planning.placement.inert import inert
from spiq.planning.placement.place import place
from spiq.planning.placement.place_dynamic import place_dynamic
from spiq.planning.placement.values import LAYERS, Placement, is_layer, is_product
from spiq.planning.plan.entries import LayerPlan, TensorPlan
from spiq.planning.plan.values import Plan
from spiq.stats.channel import Array
from spiq.stats.propagate import Measured
from spiq.targets import TARGETS, Target


@dataclass(frozen=True)
class Choices:
    """What is decided of a network, group by group.

    Attributes:
        placement: What runs on integers.
        bits: How many each tensor and each layer has.
        decided: What was decided of each group of tensors, by all that it depends on.
        narrowed: What is, in place of that, of groups that others bound.
        spared: Layers that are in float for accuracy, or would be if they were allowed to, by name,
            and why.
    """

    placement: Placement
    bits: Bits
    decided: Mapping[Hashable, DecidedGroup]
    narrowed: Mapping[Hashable, DecidedGroup] = field(default_factory=dict)
    spared: Mapping[str, str] = field(default_factory=dict)

    @property
    def final(self) -> Iterable[DecidedGroup]:
        """What holds of each group."""
        return {**self.decided, **self.narrowed}.values()

    @property
    def tensors(self) -> dict[str, TensorPlan]:
        """What the plan says of each stored tensor, by name."""
        return {name: plan for plans, _ in self.final for name, plan in plans.items()}

    @property
    def costs(self) -> Costs:
        """The error expected of each group of tensors that were decided together."""
        return [cost for _, cost in self.final]


def choose(
    graph: ir.Graph,
    measured: Measured,
    importance: Importance,
    config: Config,
    *,
    next_names: Mapping[str, str],
    in_float: Mapping[str, str] = MappingProxyType({}),
    relieve: bool = True,
    before: Mapping[Hashable, DecidedGroup] = MappingProxyType({}),
) -> Choices:
    """Decide what runs on integers, and how each tensor is stored.

    Where the error that is expected says that layers are better left in float, all is decided once
    more with them there, see :mod:`spiq.planning.choose.relief`.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        importance: How much their errors count.
        config: The options.
        next_names: Those of :class:`spiq.passes.prepare.Prepared`, for options that name tensors.
        in_float: Names of nodes that have to stay in float besides, and why.
        relieve: Whether layers may be left in float for accuracy.
        before: What was decided of groups of this very network by the same options.

    Raises:
        ConfigError: An option that excludes matches nothing, or no bits are few enough for
            ``bits_per_weight`` or ``max_bytes``.
    """
    exclude = {**in_float, **excluded(graph, config, next_names)}
    found = _chosen(graph, measured, config, exclude, importance, before)
    if not config.relieves or not has_layers(found.placement):
        return found
    spared = relieved(graph, found.placement, found.costs, TARGETS[config.target])
    if spared and relieve:
        before = {**before, **found.decided}
        found = _chosen(graph, measured, config, exclude | spared, importance, before)
    return replace(found, spared=spared)


def _chosen(
    graph: ir.Graph,
    measured: Measured,
    config: Config,
    exclude: Mapping[str, str],
    importance: Importance,
    before: Mapping[Hashable, DecidedGroup],
) -> Choices:
    """Decide everything with the layers in ``exclude`` in float.

    A group of which nothing else was decided ``before`` stays as it was.
    """
    method, target = METHODS[config.method], TARGETS[config.target]
    placement = placed(graph, measured, target, method, exclude)
    bits = choose_bits(graph, placement, uniform(graph, placement, config))
    errors = network_errors(graph, measured, placement, method.widths, importance)
    known = Deciding(errors, bits, method, target)
    if not target.weights.per_channel:
        return Choices(placement, bits, together(known))
    decided = one_by_one(known, work(graph), before)
    return Choices(placement, bits, decided, narrowed(known, decided))


def make_plan(
    graph: ir.Graph,
    measured: Measured,
    chosen: Choices,
    config: Config,
    *,
    model_hash: str,
    version: str,
    notes: tuple[str, ...] = (),
) -> Plan:
    """Write down everything that is decided about the quantization of a prepared network.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        chosen: What was decided, see :func:`choose`.
        config: The options.
        model_hash: Hash of the model as it was given.
        version: Version of spiq.
        notes: Assumptions made on the way, kept in the plan.

    Raises:
        UnsupportedError: No layer can be quantized; the message says why.
        ConfigError: No bits are few enough for ``bits_per_weight`` or ``max_bytes``.
    """
    placement, tensors, method = chosen.placement, chosen.tensors, METHODS[config.method]
    if not has_layers(placement):
        why = min(placement.reasons.values(), default="no weight is a constant matrix")
        raise UnsupportedError(f"nothing to quantize: every layer stays in float ({why})")
    made = Plan(
        model_hash=model_hash,
        version=version,
        method=config.method,
        target=config.target,
        activation_bits=config.activation_bits,
        weight_bits=config.weight_bits,
        inputs=_inputs(graph, measured),
        tensors={str(value.name): tensors[str(value.name)] for value in placement.grids},
        layers=_planned_layers(placement, chosen.bits, method),
        left_in_float={str(node.name): reason for node, reason in placement.reasons.items()},
        notes=(*notes, *_said(placement), *inert(graph, TARGETS[config.target])),
        input_size=config.input_size,
    )
    return (
        mix_bits(graph, made, placement, measured, config) if config.mixed and made.layers else made
    )


def _said(placement: Placement) -> list[str]:
    """Return a sentence for each operator that is no layer and has to stay in float."""
    return [
        f"{where(node)} stays in float: {reason}"
        for node, reason in placement.reasons.items()
        if node.op_type not in (*LAYERS, "ConvTranspose") and reason != "excluded"
    ]


def has_layers(placement: Placement) -> bool:
    """Return whether any layer runs on integers."""
    return any(is_layer(node) or is_product(node) for node in placement.integer)


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


def _planned_layers(placement: Placement, bits: Bits, method: Method) -> dict[str, LayerPlan]:
    return {
        str(node.name): LayerPlan(
            bits=bits.layers[node],
            rounding="nearest" if node.op_type == "BatchNormalization" else method.rounding,
            bias_correction=method.bias_correction,
            input_bits=bits.inputs.get(node),
        )
        for node in placement.integer
        if node in bits.layers
    }
