"""What quantization does to each layer: what was decided, what is expected, what is seen."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from spiq.analysis import Analysis
from spiq.decision import placed_by
from spiq.graph.query import data_inputs, layer_nodes, sole_consumer
from spiq.inspection.compare import compared
from spiq.inspection.in_single import AsRun
from spiq.inspection.layers import LayerResult, layer_results
from spiq.planning.errors.expected import Expected, ExpectedError, expected_losses
from spiq.planning.errors.network_errors import Importance
from spiq.planning.placement.values import ROUNDS, Placement
from spiq.planning.plan.entries import TensorPlan
from spiq.planning.plan.resolve import Resolved, resolve
from spiq.planning.plan.validate import check_fits
from spiq.planning.plan.values import Plan
from spiq.report.facts import Channels, LayerFacts
from spiq.report.injected import costs, factors, injectable, ranked
from spiq.report.products import and_before, charged, operands
from spiq.report.seen import WIDER, Seen, Watcher
from spiq.stats.channel import Array, ChannelStats


def layer_facts(
    known: Analysis, plan: Plan, networks: tuple[AsRun, AsRun], *, images: int
) -> tuple[LayerFacts, ...]:
    """Return what is to be told of each layer, in order; times are not yet among it.

    Args:
        known: What is known of the float network.
        plan: What was decided.
        networks: The float network, and the quantized one.
        images: Synthetic pictures to run both on.

    Raises:
        PlanError: The plan is for another network.
        ConfigError: The networks are no two forms of the same one.
    """
    graph, measured = known.graph, known.measured
    placement = placed_by(plan, known)
    followed = check_fits(graph, plan, placement)
    resolved = resolve(followed, placement)
    rounded = _rounded(placement)
    watcher = Watcher(
        {name: stored for name, stored in resolved.tensors.items() if name in rounded},
        {str(value.name) for value in graph.inputs},
    )
    with ThreadPoolExecutor(2, thread_name_prefix="spiq") as beside:  # the runtime needs no Python
        expecting = beside.submit(_expected, known, followed, placement)
        opening = beside.submit(injectable, networks[0], watcher.stored)
        tensors = compared(*networks, images=images, watch=watcher).tensors
        importance, expected = expecting.result()
        products = operands(placement, rounded)
        expected = charged(expected, placement, products)
        found = _found(opening.result(), watcher, expected.tensors)

    told = _Told(
        known=known,
        plan=followed,
        resolved=resolved,
        placement=placement,
        seen=watcher.seen(),
        ratios={tensor.name: tensor.snr_db for tensor in tensors},
        importance=importance,
        expected=expected,
        products=products,
        found=found,
    )
    described = layer_results(graph, measured, followed)
    return tuple(map(told.layer, layer_nodes(graph), described))


def _expected(known: Analysis, plan: Plan, placement: Placement) -> tuple[Importance, Expected]:
    """Return how tensors matter, and what is expected; nothing where no tensor is stored."""
    if not placement.grids:
        return {}, Expected({}, {})
    graph, measured = known.graph, known.measured
    importance = known.importance
    return importance, expected_losses(graph, measured, plan, placement, importance)


def _found(
    opened: ort.InferenceSession, watcher: Watcher, expected: Mapping[str, float]
) -> dict[str, float]:
    """Return by what to multiply the estimate of each tensor, as far as anything was measured."""
    names = list(watcher.errors[0]) if watcher.errors else []
    order = ranked(expected, names)
    measured = costs(opened, watcher.pictures, watcher.errors, order=order) if names else {}
    return factors(expected, measured, names)


def _rounded(placement: Placement) -> set[str]:
    """Return the stored tensors that are rounded as they are stored, by name.

    What moves integers, such as a pool, adds no error of its own.
    """
    return {
        str(value.name)
        for value in placement.grids
        if (producer := value.producer()) not in placement.integer or producer.op_type in ROUNDS
    }


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What layers are described by.

    Attributes:
        known: What is known of the float network.
        plan, resolved, placement: What was decided, the numbers that follow, what goes together.
        seen: What storing does to tensors on pictures, by name.
        ratios: Measured signal-to-noise ratio of tensors, by name.
        importance: How the channels of tensors matter to the outputs.
        expected: What is expected.
        products: The tensors that are rounded for products of two, by the name of the product.
        found: What a tensor's error was found to cost over what was expected, by name.
    """

    known: Analysis
    plan: Plan
    resolved: Resolved
    placement: Placement
    seen: Mapping[str, Seen]
    ratios: Mapping[str, float]
    importance: Importance
    expected: Expected
    products: Mapping[str, tuple[str, ...]]
    found: Mapping[str, float]

    def layer(self, node: ir.Node, described: LayerResult) -> LayerFacts:
        """Return what is to be told of a layer."""
        source = node.inputs[0]
        stats = None if source is None else self.known.measured.stats.get(source)
        expected = self.expected.layers.get(described.name)
        seen = next((self.seen[n] for n in _and_before(source) if n in self.seen), None)
        return LayerFacts(
            name=described.name,
            operator=described.operator,
            on_integers=described.quantized,
            reason=described.reason,
            shape=(described.in_channels, described.out_channels),
            parameters=described.parameters,
            macs=described.macs,
            statistics=described.statistics,
            doubt=0.0 if stats is None else float(stats.doubt.mean()),
            bits=described.bits,
            **self._costs(node, expected),
            clipped=_clipped(seen),
            **self._wider(source, seen),
            written_by=self._written_by(source),
            expected_snr_db=None if expected is None else expected.snr_db,
            snr_db=self._ratio(node.outputs[0]),
            channels=None if source is None else _channels(str(source.name), self, stats, seen),
        )

    def _costs(self, node: ir.Node, expected: ExpectedError | None) -> dict[str, float]:
        """Return what a layer is expected and was found to cost, and what its weight brings of it.

        A weight's error arises where the layer's output lies, so its estimate is off as that is.
        """
        if expected is None:
            return self._product_costs(self.products.get(str(node.name), ()))
        if not self.found:
            return {"expected_cost": expected.total}
        source = self._factor(_and_before(node.inputs[0]))
        behind = self._factor(_and_after(node.outputs[0]))
        weights = expected.weights * (behind or source or self._typical)
        activations = expected.activations * (source or behind or self._typical)
        return {
            "expected_cost": expected.total,
            "seen_cost": activations + weights,
            "weight_cost": weights,
        }

    def _product_costs(self, names: tuple[str, ...]) -> dict[str, float]:
        """Return what a product of two tensors costs, by those that are rounded for it."""
        each = {name: self.expected.tensors[name] for name in names}
        if not each or not self.found:
            return {"expected_cost": sum(each.values())} if each else {}
        seen = sum(cost * (self._factor([name]) or self._typical) for name, cost in each.items())
        return {"expected_cost": sum(each.values()), "seen_cost": seen}

    def _wider(self, source: ir.Value | None, seen: Seen | None) -> dict[str, float]:
        """Return by what to widen the range of what is read, and what share of its error goes."""
        importance = None if source is None else self.importance.get(source)
        if seen is None or importance is None or importance.size != seen.error.size:
            return {}
        weights = importance.reshape(-1)
        before, *after = (float(weights @ one.reshape(-1)) for one in (seen.error, *seen.wider))
        best = int(np.argmin(after)) if after else 0
        if not after or after[best] >= before:
            return {}
        return {"widen": WIDER[best], "widening_wins": 1 - after[best] / before}

    def _written_by(self, value: ir.Value | None) -> str:
        """Return the operator that rounds a tensor as it writes it; empty of the network's input.

        One that runs in float rounds nothing for what is in float behind it.
        """
        node = None if value is None else value.producer()
        while node is not None and node.op_type not in ROUNDS and len(data_inputs(node)) == 1:
            node = data_inputs(node)[0].producer()
        return str(node.name) if node is not None and node in self.placement.integer else ""

    def _factor(self, names: Iterable[str]) -> float | None:
        """Return what was found over what was expected of the first of some tensors."""
        return next((self.found[name] for name in names if name in self.found), None)

    @property
    def _typical(self) -> float:
        return float(np.median(list(self.found.values())))

    def _ratio(self, result: ir.Value) -> float | None:
        """Return the ratio behind a layer, or behind the activation that its grid stands for."""
        names = _and_after(result)
        return next((self.ratios[name] for name in names if name in self.ratios), None)


def _and_after(value: ir.Value) -> Iterator[str]:
    """Yield the name of a tensor, and of what the one operator makes of it that alone reads it."""
    yield str(value.name)
    after = sole_consumer(value)
    if after is not None:
        yield str(after.outputs[0].name)


def _and_before(value: ir.Value | None) -> Iterator[str]:
    """Yield the name of a tensor, and of those that it is nothing but another form of."""
    return (str(each.name) for each in and_before(value))


def _clipped(seen: Seen | None) -> float | None:
    whole = 0.0 if seen is None else float(seen.error.sum())
    return float(seen.clipping.sum()) / whole if seen is not None and whole > 0 else None


def _channels(
    name: str, told: _Told, stats: ChannelStats | None, seen: Seen | None
) -> Channels | None:
    """Return the channels of a stored tensor, one number each."""
    planned, stored = told.plan.tensors.get(name), told.resolved.tensors.get(name)
    if planned is None or stored is None or stats is None:
        return None
    low, high, size = *_ends(planned), len(stored.channel_scale)
    grid, shown = stored.grid, seen is not None and seen.low.size == size
    return Channels(
        tensor=name,
        low=np.broadcast_to(low, size),
        high=np.broadcast_to(high, size),
        scale=np.array(stored.channel_scale),
        doubt=np.broadcast_to(stats.doubt.reshape(-1), size),
        grid_low=(grid.qmin - grid.zero_point) * grid.step,
        grid_high=(grid.qmax - grid.zero_point) * grid.step,
        bits=grid.bits,
        seen_low=seen.low.reshape(-1) if shown else None,  # type: ignore[union-attr]
        seen_high=seen.high.reshape(-1) if shown else None,  # type: ignore[union-attr]
    )


def _ends(planned: TensorPlan) -> tuple[Array, Array]:
    return np.array(planned.low), np.array(planned.high)
