"""What each layer is expected to lose, before anything runs.

The errors are those of :mod:`spiq.planning.errors.error_model` for the grids of a plan; how they
arrive at the network's outputs is a matter of :mod:`spiq.planning.errors.importance`. A layer
answers for the rounding of its input, for its weight, and for the rounding of its output where that
is no other layer's input (the operand of a sum).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant
from spiq.methods.method import WIDTHS
from spiq.planning.errors.error_model import (
    active_share,
    freedom_of,
    layer_error,
    rounding_error,
    tail_of,
)
from spiq.planning.errors.importance import importance_of, through_layer
from spiq.planning.errors.ranges import soft_ranges
from spiq.planning.placement.place import LAYERS, Placement
from spiq.planning.plan.resolve import Resolved, StoredTensor, resolve
from spiq.planning.plan.values import Plan
from spiq.stats.channel import Array, ChannelStats
from spiq.stats.propagate import Measured
from spiq.stats.rules.linear import grouped
from spiq.stats.rules.types import channels


@dataclass(frozen=True)
class ExpectedError:
    """The error that a layer is expected to add.

    Attributes:
        activations: Power that the rounding of what it reads and writes adds at the outputs,
            relative to their signal.
        weights: Power that the rounding of its weight adds there.
        snr_db: Its own output's signal over what both add to it, in dB.
    """

    activations: float
    weights: float
    snr_db: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.activations + self.weights


def expected_errors(
    graph: ir.Graph, measured: Measured, plan: Plan, placement: Placement
) -> dict[str, ExpectedError]:
    """Return the expected error of each layer that runs on integers of stored inputs, by name.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        plan: What was decided.
        placement: What the plan is for.
    """
    resolved = resolve(plan, placement)
    importance = importance_of(graph, measured)
    errors = _tensor_errors(graph, measured, resolved, placement)
    return {
        str(node.name): _expected(node, measured, resolved, placement, importance, errors)
        for node in placement.integer
        if node.op_type in LAYERS and node.inputs[0] in errors
    }


def _tensor_errors(
    graph: ir.Graph, measured: Measured, resolved: Resolved, placement: Placement
) -> dict[ir.Value, Array]:
    """Return the expected squared error of each stored tensor, in its layout."""
    widths = np.array(WIDTHS)
    ranges = soft_ranges(graph, measured, widths)
    errors = {}
    for value in placement.grids:
        known, stored = measured.stats[value], resolved.tensors[str(value.name)]
        low, high = (end.reshape(-1, len(widths)) for end in ranges[value])
        errors[value] = _tensor_error(known, stored, low, high, freedom_of(value)).reshape(
            known.layout
        )
    return errors


def _tensor_error(
    known: ChannelStats, stored: StoredTensor, low: Array, high: Array, freedom: float
) -> Array:
    grid, widths = stored.grid, np.array(WIDTHS)
    step = grid.step * np.array(stored.channel_scale)
    hard_low, hard_high = known.low.reshape(-1), known.high.reshape(-1)
    above, below = (
        tail_of(end, bound, widths, freedom)
        for end, bound in ((high, hard_high), (-low, -hard_low))
    )
    active = active_share(above, hard_low == 0)
    error = rounding_error(step, active, known.second_moment.reshape(-1))
    error += above.clipped((grid.qmax - grid.zero_point) * step)
    return np.asarray(error + below.clipped((grid.zero_point - grid.qmin) * step))


def _expected(
    node: ir.Node,
    measured: Measured,
    resolved: Resolved,
    placement: Placement,
    importance: Mapping[ir.Value, Array],
    errors: Mapping[ir.Value, Array],
) -> ExpectedError:
    source, result, weight = node.inputs[0], node.outputs[0], constant(node.inputs[1])
    assert source is not None and weight is not None
    split = grouped(node, weight)
    stored = resolved.tensors[str(source.name)]
    sigma = np.broadcast_to(stored.channel_scale, split.shape[0] * split.shape[2])
    folded = split * sigma.reshape(split.shape[0], 1, -1, 1).astype(split.dtype)
    step = np.abs(folded).max(axis=(2, 3)) / (2 ** (resolved.layers[str(node.name)].bits - 1) - 1)
    error, var = (
        np.broadcast_to(channels(array), sigma.shape)
        for array in (errors[source], measured.stats[source].var)
    )
    own = layer_error(split, np.zeros_like(error), var / sigma**2, step)
    all_ = layer_error(split, error, var / sigma**2, step)
    signal = float(channels(measured.stats[result].var).sum())
    arrives = through_layer(node, importance[result], measured)
    after = placement.stored_output(result)
    written = after if after in errors and not _is_read(after, placement) else None
    return ExpectedError(
        activations=float((arrives * errors[source]).sum())
        + (0.0 if written is None else float((importance[written] * errors[written]).sum())),
        weights=float((np.broadcast_to(channels(importance[result]), own.shape) * own).sum()),
        snr_db=10 * float(np.log10(max(signal, 1e-300) / max(float(all_.sum()), 1e-300))),
    )


def _is_read(value: ir.Value, placement: Placement) -> bool:
    return any(n.op_type in LAYERS and n in placement.integer for n in value.consumers())
