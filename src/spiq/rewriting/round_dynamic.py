"""Round the weights of layers that measure the range of their input as the network runs.

Weights are rounded as for any other layer, see :mod:`spiq.rewriting.round_weights`. The bias stays
in float: the step of the input, and so that of an integer bias, is not known before.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.passes.layer_weights import bias_of
from spiq.planning.plan.entries import LayerPlan
from spiq.rewriting.round_weights import mean_shift, round_weight
from spiq.stats.channel import ChannelStats
from spiq.stats.correlation import Correlation
from spiq.stats.rules.linear import grouped
from spiq.stats.rules.types import channels


@dataclass(frozen=True)
class DynamicLayer:
    """A layer's integers, and its bias.

    Attributes:
        weight: int8, in the shape of the layer's weight.
        step: One per output channel, shape (O,), float32.
        bias: Shape (O,), float32.
        input_bits: Bits of the input.
    """

    weight: npt.NDArray[np.int8]
    step: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    input_bits: int


def round_dynamic(
    node: ir.Node,
    layer: LayerPlan,
    known: ChannelStats | None,
    correlation: Correlation | None,
) -> DynamicLayer:
    """Round the weight of ``node``.

    Args:
        node: The layer.
        layer: How to round.
        known: Statistics of its input, if any: without them the bias is not corrected.
        correlation: Correlation of its input, if it was observed.
    """
    assert layer.input_bits is not None
    integers, step = round_weight(
        node,
        layer,
        var=None if known is None else channels(known.var),
        correlation=correlation,
    )
    bias = bias_of(node)
    if layer.bias_correction and known is not None:
        split, mean = grouped(node, integers), channels(known.mean)
        if mean.size in (1, split.shape[0] * split.shape[2]):
            bias = bias - mean_shift(node, integers, step, mean)
    return DynamicLayer(integers, step, bias.astype(np.float32), layer.input_bits)
