"""What the layers behind a sum say of its spread.

The terms of an Add are taken as independent, which residual branches are not: block after block
they push the same channels the same way, and their variances add up to far more. The next
convolution with a BatchNormalization knows: it states the variance of its output, and the rule of
:mod:`spiq.stats.rules.linear` predicts one from the sum. If

    kappa = median_o (stated_o / predicted_o)

exceeds what the correlation of channels explains, the variance of the sum is raised by the rest.
(On published residual networks, kappa over the true factor is 1.3 to 2.1, its median 1.6.)
"""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx_ir as ir

from spiq.graph.query import sole_consumer
from spiq.passes.batchnorm import Moments
from spiq.stats.channel import ChannelStats, stats
from spiq.stats.rules.activations import elementwise, function_of
from spiq.stats.rules.linear import linear

_CHANNELS_EXPLAIN = 1.6


def corrected(value: ir.Value, summed: ChannelStats, stated: Mapping[str, Moments]) -> ChannelStats:
    """Return the statistics of a sum, its variance raised where the next layers say so.

    Args:
        value: The output of an Add.
        summed: Its statistics for independent terms.
        stated: Moments that normalization layers state, by value name.
    """
    ratios = [
        ratio
        for node, known in _layers_behind(value, summed)
        if (ratio := _ratio(node, known, stated)) is not None
    ]
    if not ratios:
        return summed
    factor = float(np.median(ratios)) / _CHANNELS_EXPLAIN
    if factor <= 1:
        return summed
    return stats(summed.mean, summed.var * factor, summed.low, summed.high, summed.source)


def _layers_behind(value: ir.Value, known: ChannelStats) -> Iterator[tuple[ir.Node, ChannelStats]]:
    """Yield the convolutions that read ``value``, directly or through one activation."""
    for node in value.consumers():
        if node.op_type == "Conv" and node.inputs[0] is value:
            yield node, known
    after = sole_consumer(value)
    if after is not None and function_of(after) is not None:
        passed = elementwise(after, [known, *[None] * (len(after.inputs) - 1)])
        for result in passed or ():
            yield from (
                (node, result)
                for node in after.outputs[0].consumers()
                if node.op_type == "Conv" and node.inputs[0] is after.outputs[0]
            )


def _ratio(node: ir.Node, known: ChannelStats, stated: Mapping[str, Moments]) -> float | None:
    moments = stated.get(node.outputs[0].name or "")
    predicted = linear(node, [known, *[None] * (len(node.inputs) - 1)]) if moments else None
    if moments is None or predicted is None:
        return None
    var = predicted[0].var.reshape(-1)
    if var.shape != moments.var.shape:
        return None
    live = (var > 1e-12 * var.max()) & (moments.var > 1e-8 * moments.var.max())
    return float(np.median(moments.var[live] / var[live])) if live.any() else None
