"""From a plan to integers: scales are folded, weights rounded, and the network written anew."""

from collections.abc import Collection, Mapping

import onnx_ir as ir

from spiq.analysis import Analysis, Progress
from spiq.emit.affines import collect_affines
from spiq.emit.channel_padding import pad_channels
from spiq.emit.constants import store_constants
from spiq.emit.dynamic import emit_dynamic
from spiq.emit.gates import gates_as_sums
from spiq.emit.half import floats_as_half
from spiq.emit.merged import merge_factors
from spiq.emit.moved import carry_grids
from spiq.emit.pixels import keep_bytes
from spiq.emit.products import scales_into_products
from spiq.emit.qdq import emit
from spiq.emit.sink import sink_scales
from spiq.emit.sizes import fix_sizes
from spiq.graph.edit import remove_unused
from spiq.graph.shapes import infer
from spiq.io.opset import raised
from spiq.methods import METHODS
from spiq.planning.plan.resolve import Resolved
from spiq.planning.plan.values import Plan
from spiq.rewriting.float_layers import fold_factors
from spiq.rewriting.gates import gates_as_convolutions
from spiq.rewriting.prelu import prelu_as_max
from spiq.rewriting.round_layers import LayerInputs, layer_inputs, round_stored, round_unstored
from spiq.rewriting.round_weights import LearnedLayer
from spiq.rewriting.rounding import needs_correlation
from spiq.runtime.correlations import observe_correlations
from spiq.signature import sign
from spiq.targets import TARGETS, Target


def lower(
    model: ir.Model,
    analysis: Analysis,
    plan: Plan,
    resolved: Resolved,
    tell: Progress,
    learned: Mapping[str, LearnedLayer],
) -> None:
    """Make the prepared network the quantized one, in place.

    Args:
        model: The prepared network, or a copy of it.
        analysis: What is known of the network.
        plan: What is to be done.
        resolved: The same, worked out on the network.
        tell: Told the name of each step as it begins.
        learned: What was learned of layers, by name.
    """
    target = TARGETS[plan.target]

    tell("rewrite")
    inputs = what_layers_read(analysis, resolved, but=learned)
    if METHODS[plan.method].dynamic:
        unstored = round_unstored(model.graph, resolved, inputs, target.dense_groups)
        tell("emit")
        emit_dynamic(model.graph, unstored)
    else:
        form, groups = target.weights, target.dense_groups
        stored = round_stored(model.graph, resolved, inputs, groups, form, learned)
        gates = gates_as_convolutions(model.graph, resolved, signed=target.grids.signed)
        tell("emit")
        emit(model.graph, gates.resolved, stored | gates.rounded, guards=target.fuses_here)
        _tidy(model.graph, resolved, target)

    if target.slow_prelu:
        prelu_as_max(model.graph)
    if target.static:
        fix_sizes(model.graph, plan)
    remove_unused(model.graph)
    sign(model, plan)


def _tidy(graph: ir.Graph, resolved: Resolved, target: Target) -> None:
    """Spell what was emitted as the target runs it fastest; nothing is computed otherwise."""
    gates_as_sums(graph, resolved)
    scales_into_products(graph, resolved)
    fold_factors(graph)
    sink_scales(graph)
    collect_affines(graph)
    merge_factors(graph)
    pad_channels(graph, target.channel_multiple)
    if target.whole:
        store_constants(graph)
    carry_grids(graph, target.carried)
    keep_bytes(graph)


def for_target(model: ir.Model, target: Target) -> ir.Model:
    """Return a rewritten network with the operators and the types that a target wants.

    Raises:
        UnsupportedError: Its operators cannot be turned into those.
    """
    newer = raised(model, target.opset, where=f"the network for target {target.name}")
    if target.half:
        infer(newer)
        floats_as_half(newer.graph)
        remove_unused(newer.graph)
    return newer


def what_layers_read(
    analysis: Analysis, resolved: Resolved, *, but: Collection[str] = ()
) -> LayerInputs:
    """Return what is known of layers' inputs, observed where few bits make that worth it.

    Args:
        analysis: What is known of the network.
        resolved: What is to be done to it.
        but: Names of layers of which no more need be known.
    """
    stats, layers = analysis.measured.stats, resolved.layers
    coarse = [name for name in layers if name not in but and needs_correlation(layers[name])]
    correlations = observe_correlations(
        analysis.prepared.model, coarse, stats, analysis.images, size=analysis.sizes.quick
    )
    return layer_inputs(analysis.graph, resolved, stats, correlations)
