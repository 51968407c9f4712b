"""Round all quantized layers of a network, by its plan and what is known of their inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from spiq.graph.lazy import Later, is_lazy
from spiq.graph.shelf import Shelf
from spiq.planning.plan.resolve import Resolved
from spiq.rewriting.dense_groups import fill_groups
from spiq.rewriting.fold_scales import fold_scales
from spiq.rewriting.round_dynamic import DynamicLayer, round_dynamic
from spiq.rewriting.round_weights import LearnedLayer, RoundedLayer, round_layer
from spiq.stats.channel import ChannelStats
from spiq.stats.correlation import Correlation
from spiq.targets import Weights


@dataclass(frozen=True)
class LayerInputs:
    """What is known of what layers read, in units of the prepared network.

    Attributes:
        stats: Statistics of each layer's input, by name of the layer.
        correlations: Correlation of the inputs that were observed, by the same.
    """

    stats: Mapping[str, ChannelStats]
    correlations: Mapping[str, Correlation]


def layer_inputs(
    graph: ir.Graph,
    resolved: Resolved,
    stats: Mapping[ir.Value, ChannelStats],
    correlations: Mapping[str, Correlation],
) -> LayerInputs:
    """Note what is known of layers' inputs, before rewriting changes them.

    Args:
        graph: The prepared network.
        resolved: What is to be done to it.
        stats: Statistics of its tensors.
        correlations: What was observed of layers' inputs, by name of the layer.
    """
    layers = [node for node in graph if node.name in resolved.layers]
    sources = {str(node.name): node.inputs[0] for node in layers}
    known = {
        name: stats[source]
        for name, source in sources.items()
        if source is not None and source in stats
    }
    return LayerInputs(known, correlations)


def round_stored(
    graph: ir.Graph,
    resolved: Resolved,
    inputs: LayerInputs,
    dense_groups: int,
    form: Weights,
    learned: Mapping[str, LearnedLayer],
) -> dict[ir.Node, RoundedLayer]:
    """Fold scales, in place, and round layers whose inputs are stored.

    Args:
        graph: The prepared network.
        resolved: What is stored and how.
        inputs: What is known of layers' inputs.
        dense_groups: See :func:`spiq.rewriting.dense_groups.fill_groups`.
        form: What weights and biases look like.
        learned: What was learned of layers, by name; the others are rounded here.
    """
    folded, shelf = fold_scales(graph, resolved), Shelf()
    fill_groups(folded, dense_groups)

    def rounded(node: ir.Node) -> RoundedLayer:
        name, source = str(node.name), node.inputs[0]
        assert source is not None
        layer, stored = resolved.layers[name], resolved.tensors[str(source.name)]
        known, correlation = inputs.stats[name], inputs.correlations.get(name)
        made = round_layer(node, layer, stored, known, correlation, form, learned.get(name))
        if not is_lazy(node.inputs[1]) or isinstance(made.weight, Later):
            return made
        return replace(made, weight=shelf.put(made.weight))

    return {node: rounded(node) for node in folded}


def round_unstored(
    graph: ir.Graph, resolved: Resolved, inputs: LayerInputs, dense_groups: int
) -> dict[ir.Node, DynamicLayer]:
    """Round layers whose inputs are rounded as the network runs; arguments as before."""
    layers = [node for node in graph if node.name in resolved.layers]
    fill_groups(layers, dense_groups)
    return {
        node: round_dynamic(
            node,
            resolved.layers[str(node.name)],
            inputs.stats.get(str(node.name)),
            inputs.correlations.get(str(node.name)),
        )
        for node in layers
    }
