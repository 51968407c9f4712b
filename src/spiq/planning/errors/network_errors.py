"""What the errors of a network's tensors and weights depend on, before a grid is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.planning.errors.averaging import lasting
from spiq.planning.errors.freedom import freedom_of
from spiq.planning.errors.ranges import Range, soft_ranges
from spiq.planning.errors.tensor_error import Channels
from spiq.planning.errors.weight_error import WeightError, weight_error
from spiq.planning.placement.values import ROUNDS, Placement
from spiq.stats.channel import Array
from spiq.stats.propagate import Measured
from spiq.targets import Weights

Importance = Mapping[ir.Value, Array]


@dataclass(frozen=True)
class NetworkErrors:
    """Where errors arise in a network, and how they arrive at its outputs.

    Attributes:
        placement: What runs on integers.
        measured: Statistics of the network's tensors.
        importance: Importance of its tensors, channel by channel.
        ranges: Their ranges, for each width.
        widths: The widths, shape (L,).
    """

    placement: Placement
    measured: Measured
    importance: Importance
    ranges: Mapping[ir.Value, Range]
    widths: Array

    def tensor(self, value: ir.Value) -> Channels:
        """Return the channels of a stored tensor."""
        known, producer, placement = self.measured.stats[value], value.producer(), self.placement
        on_integers = producer is not None and producer in placement.integer
        low, high = (end.reshape(-1, len(self.widths)) for end in self.ranges[value])
        return Channels(
            value=value,
            grid=placement.grids[value],
            classes=placement.classes[value].reshape(-1),
            low=low,
            high=high,
            hard_low=known.low.reshape(-1),
            hard_high=known.high.reshape(-1),
            power=known.second_moment.reshape(-1),
            importance=self.importance[value].reshape(-1),
            rounds=not on_integers or producer.op_type in ROUNDS,  # type: ignore[union-attr]
            saturates=producer in placement.absorbed,
            widths=self.widths,
            freedom=freedom_of(value, self.measured.stats),
            doubt=known.doubt.reshape(-1),
            lasting=lasting(value, self.measured),
        )

    def weight(self, node: ir.Node, bits: int, form: Weights) -> WeightError:
        """Return the error of a layer's weight at so many bits, in a target's form."""
        return weight_error(node, self.placement, self.measured, self.importance, bits, form)


def network_errors(
    graph: ir.Graph,
    measured: Measured,
    placement: Placement,
    widths: tuple[float, ...],
    importance: Importance,
) -> NetworkErrors:
    """Work out what the errors of a network depend on.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        placement: What runs on integers.
        widths: Widths of ranges in standard deviations.
        importance: Importance of its tensors.
    """
    wide = np.array(widths)
    return NetworkErrors(placement, measured, importance, soft_ranges(graph, measured, wide), wide)
