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
from spiq.planning.errors.error_model import layer_error, weight_rounding
from spiq.planning.errors.held import Held
from spiq.planning.errors.importance import through_layer
from spiq.planning.errors.network_errors import Importance, NetworkErrors, network_errors
from spiq.planning.placement.values import Placement, is_layer
from spiq.planning.plan.pair_sums import row_steps
from spiq.planning.plan.resolve import Resolved, StoredTensor, resolve
from spiq.planning.plan.values import Plan
from spiq.stats.channel import Array
from spiq.stats.propagate import Measured
from spiq.stats.rules.linear import grouped
from spiq.stats.rules.types import channels
from spiq.targets import TARGETS, Weights


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


@dataclass(frozen=True)
class Expected:
    """What quantization is expected to lose.

    Attributes:
        layers: Of each layer that runs on integers of stored inputs, by name.
        tensors: Power at the outputs, relative to their signal, that storing each tensor adds, by
            name, whoever reads it.
    """

    layers: dict[str, ExpectedError]
    tensors: dict[str, float]


def expected_errors(
    graph: ir.Graph,
    measured: Measured,
    plan: Plan,
    placement: Placement,
    importance: Importance,
) -> dict[str, ExpectedError]:
    """Return the expected error of each layer that runs on integers of stored inputs, by name.

    Arguments are those of :func:`expected_losses`.
    """
    return expected_losses(graph, measured, plan, placement, importance).layers


def expected_losses(
    graph: ir.Graph,
    measured: Measured,
    plan: Plan,
    placement: Placement,
    importance: Importance,
) -> Expected:
    """Return the expected error of each layer and stored tensor.

    Args:
        graph: The prepared network.
        measured: Statistics of its tensors.
        plan: What was decided.
        placement: What the plan is for.
        importance: How much errors of the network's tensors count.
    """
    resolved = resolve(plan, placement)
    network = network_errors(graph, measured, placement, WIDTHS, importance)
    stored = {value: resolved.tensors[str(value.name)] for value in placement.grids}
    held = Held(placement, measured, {value: one.ends for value, one in stored.items()})
    errors = {value: _tensor_error(value, one, network, held) for value, one in stored.items()}
    return Expected(
        layers={
            str(node.name): _expected(node, resolved, network, errors, TARGETS[plan.target].weights)
            for node in placement.integer
            if is_layer(node) and node.inputs[0] in errors
        },
        tensors={
            str(value.name): float((network.importance[value] * error).sum())
            for value, error in errors.items()
        },
    )


def _tensor_error(
    value: ir.Value, stored: StoredTensor, network: NetworkErrors, held: Held
) -> Array:
    """Return the expected squared error of each channel of a stored tensor, in its layout."""
    grid, bounds = stored.grid, held.bounds(value)
    step = grid.step * np.array(stored.channel_scale)
    known = network.tensor(value)
    known = known if bounds is None else known.within(*bounds)
    error = known.errors(step, grid.zero_point - grid.qmin, grid.qmax - grid.qmin)
    return error.reshape(network.measured.stats[value].layout)


def _expected(
    node: ir.Node, resolved: Resolved, network: NetworkErrors, errors: Mapping[ir.Value, Array],
    form: Weights,
) -> ExpectedError:  # fmt: skip
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    importance, stats = network.importance, network.measured.stats
    weight, both = _layer_errors(node, resolved, network, errors[source], form)

    # of activations: what it reads arrives through its weight, what it alone writes as it is
    arrives = float(
        (through_layer(node, importance[result], network.measured) * errors[source]).sum()
    )
    after = network.placement.stored_output(result)
    if after in errors and not _is_read(after, network.placement):
        arrives += float((importance[after] * errors[after]).sum())

    signal = float(channels(stats[result].var).sum())
    return ExpectedError(
        activations=arrives,
        weights=float((np.broadcast_to(channels(importance[result]), weight.shape) * weight).sum()),
        snr_db=10 * float(np.log10(max(signal, 1e-300) / max(float(both.sum()), 1e-300))),
    )


def _layer_errors(
    node: ir.Node, resolved: Resolved, network: NetworkErrors, error: Array, form: Weights
) -> tuple[Array, Array]:
    """Return the squared errors of a layer's outputs: from its weight, and from its input, too."""
    source, weight = node.inputs[0], constant(node.inputs[1])
    assert source is not None and weight is not None
    split = grouped(node, weight)
    size = split.shape[0] * split.shape[2]

    # the weight is rounded with the channel scales folded in
    sigma = np.broadcast_to(resolved.tensors[str(source.name)].channel_scale, size)
    folded = split * sigma.reshape(split.shape[0], 1, -1, 1).astype(split.dtype)
    step = row_steps(folded, resolved.layers[str(node.name)].bits, form)

    var = np.broadcast_to(channels(network.measured.stats[source].var), size) / sigma**2
    read = np.broadcast_to(channels(error), size)
    met = split.shape[3] * var.reshape(len(split), -1).sum(axis=1, keepdims=True)
    return weight_rounding(step, met).reshape(-1), layer_error(split, read, var, step)


def _is_read(value: ir.Value, placement: Placement) -> bool:
    return any(is_layer(n) and n in placement.integer for n in value.consumers())
