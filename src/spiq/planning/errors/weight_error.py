"""The rounding error of a layer's weight, as a function of the channel scales of its input.

A weight is rounded per output channel on a step of max_c |W[o,c]| sigma_c / qmax, and the error
meets the deviation of x_c / sigma_c, see :mod:`spiq.planning.errors.error_model`.

Where a target has one step q for all of a layer's weight, the scales s_o of its outputs count too:
rows are divided by them, q is that of the largest row, and the error comes out s_o times as large,

    q = max_o,c |W[o,c]| sigma_c / s_o / qmax
    sum_o w_o s_o^2 q^2 / 12 sum_c Var[x_c] / sigma_c^2

so scales that make rows alike are worth something (what Nagel et al., ICCV 2019, call cross-layer
equalization). A bias of 8 bits likewise: b is the step of the largest, its error s_o^2 b^2 / 12.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant
from spiq.passes.layer_weights import bias_of
from spiq.planning.errors.error_model import weight_rounding
from spiq.planning.placement.values import Placement
from spiq.planning.plan.derive import next_power
from spiq.planning.plan.pair_sums import is_bound, row_steps
from spiq.stats.channel import Array, ChannelStats
from spiq.stats.propagate import Measured
from spiq.stats.rules.linear import grouped, in_the_cache
from spiq.stats.rules.types import channels
from spiq.targets import Weights


@dataclass(frozen=True)
class WeightError:
    """The rounding error of a layer's weight, as a function of the scales of its input.

    Attributes:
        peak: Largest absolute weight per output and input channel, shape (g, O/g, C/g).
        importance: Of the outputs, shape (g, O/g).
        var: Variance of the inputs times the number of taps, shape (g, C/g).
        classes: Class of each input channel, shape (g, C/g).
        qmax: Largest integer weight.
        widening: By how much neighbours widen the step of each output, shape (g, O/g), where their
            sums are narrow: about, since it is taken where all scales are 1.
        rows: Class of each output, shape (g, O/g), where they share one step; 0 or more where it is
            stored with a scale of its own, -1 where its scale is 1. None where each has a step.
        form: What the target wants weights and biases to look like.
        bias: Of the outputs, shape (g, O/g), where it is to be rounded coarsely.
    """

    peak: np.ndarray
    importance: Array
    var: Array
    classes: np.ndarray
    qmax: int
    widening: Array | float = 1.0
    rows: np.ndarray | None = None
    form: Weights = field(default_factory=Weights)
    bias: Array | None = None

    def cost(self, scales: Array) -> float:
        """Return the expected error at the network's outputs for these channel scales.

        Args:
            scales: Of each class, by its number; 1 at the end, for what has none.
        """
        if self.rows is not None:
            return self._with_one_step(scales, self.rows)
        if self.peak.shape[2] == 1:  # the scale of its one input cancels: the same for all
            return 0.0
        sigma = scales[self.classes]
        factor = sigma[:, None].astype(self.peak.dtype)
        parts = in_the_cache(self.peak)
        largest = [(self.peak[:, rows] * factor).max(axis=2) for rows in parts]
        steps = np.concatenate(largest, axis=1) * self.widening / self.qmax
        met = (self.var / sigma**2).sum(axis=1, keepdims=True)
        return float((self.importance * weight_rounding(steps, met)).sum())

    def _with_one_step(self, scales: Array, rows: np.ndarray) -> float:
        sigma, after = scales[self.classes], scales[rows]
        peak = float(((self.peak * sigma[:, None]).max(axis=2) / after).max()) / self.qmax
        met = (self.var / sigma**2).sum(axis=1, keepdims=True)
        error = weight_rounding(self._step(peak), met)
        if self.bias is not None:
            largest = float(np.abs(self.bias / after).max(initial=0.0))
            error = error + self._step(largest / _BIAS_MAX) ** 2 / 12
        return float((self.importance * after**2 * error).sum())

    def _step(self, least: float) -> Array:
        step = np.array(least)
        return next_power(step) if self.form.powers_of_two else step


_BIAS_MAX = 127
"""Largest integer of a bias of 8 bits."""


def weight_error(
    node: ir.Node, placement: Placement, measured: Measured, importance: Mapping[ir.Value, Array],
    bits: int, form: Weights,
) -> WeightError:  # fmt: skip
    """Summarize the weight of a layer at so many bits; ``form`` is what the target wants.

    Args:
        node: The layer.
        placement: What runs on integers.
        measured: Statistics of the network's tensors.
        importance: That of the network's tensors.
        bits: Of the weight.
        form: What the target wants of weights.
    """
    weight, source = constant(node.inputs[1]), node.inputs[0]
    assert weight is not None and source is not None
    split = grouped(node, weight)
    groups, outputs, _, taps = split.shape
    size = groups * split.shape[2]
    var = np.broadcast_to(channels(measured.stats[source].var), size)
    classes = np.broadcast_to(placement.classes[source].reshape(-1), size)
    out = importance.get(node.outputs[0])
    rows = np.ones(groups * outputs) if out is None else out.reshape(-1)
    rows = np.broadcast_to(rows, groups * outputs)
    peak, qmax = _largest(split), 2 ** (bits - 1) - 1
    return WeightError(
        peak=peak,
        importance=rows.reshape(groups, outputs),
        var=(var * taps).reshape(groups, -1),
        classes=classes.reshape(groups, -1),
        qmax=qmax,
        widening=_widening(peak, row_steps(split, bits, form) * qmax)
        if is_bound(bits, form)
        else 1.0,
        rows=None if form.per_channel else _rows(node, placement).reshape(groups, outputs),
        form=form,
        bias=bias_of(node).reshape(groups, outputs) if form.bias_bits == _COARSE else None,
    )


_COARSE = 8


def _rows(node: ir.Node, placement: Placement) -> np.ndarray:
    """Return the class of each output of a layer, shape (O,); -1 where its scale is 1."""
    result, size = placement.stored_output(node.outputs[0]), len(bias_of(node))
    classes = placement.classes.get(result)
    if classes is None or result not in placement.grids:
        return np.full(size, -1)
    return np.broadcast_to(classes.reshape(-1), size)


def _widening(peak: np.ndarray, held: Array) -> Array:
    """Return what rows hold over their largest weight, shape (g, O/g)."""
    largest = peak.max(axis=2)
    return np.asarray(np.divide(held, largest, out=np.ones_like(held), where=largest > 0))


def _largest(split: np.ndarray) -> np.ndarray:
    """Return the largest absolute weight over taps, (g, O/g, C/g, K) to (g, O/g, C/g).

    Tap by tap, since numpy is slow along an axis so short.
    """
    peak = np.empty(split.shape[:3], split.dtype)
    for rows in in_the_cache(split):
        largest, part = peak[:, rows], split[:, rows]
        np.abs(part[..., 0], out=largest)
        for tap in range(1, split.shape[3]):
            np.maximum(largest, np.abs(part[..., tap]), out=largest)
    return peak


def errors_by_bits(
    node: ir.Node, sigma: Array | None, measured: Measured, importance: Mapping[ir.Value, Array],
    bits: Iterable[int], form: Weights,
) -> dict[int, float]:  # fmt: skip
    """Return the error at the network's outputs from rounding a layer's weight, by bits.

    The weight is rounded to nearest to see; the formula by the step alone overrates few bits, which
    make 0 of most weights. Where nothing is known of the input, the error is that of the layer's
    own output.

    Args:
        node: The layer.
        sigma: Channel scale of its input, shape (C,); None where it is 1.
        measured: Statistics of the network's tensors.
        importance: That of the network's tensors.
        bits: The bits to try.
        form: What the target wants weights to look like.
    """
    weight, source = constant(node.inputs[1]), node.inputs[0]
    assert weight is not None and source is not None
    known = measured.stats.get(source)
    split, by_input = _folded(grouped(node, weight).astype(np.float32), known, sigma)
    groups, outputs = split.shape[:2]

    # what the error of each output counts
    rows = importance.get(node.outputs[0])
    if rows is None or known is None:
        power = np.einsum("gock,gc->", split.astype(np.float64) ** 2, by_input)
        rows = np.ones(groups * outputs) / max(power, 1e-300)
    by_output = np.broadcast_to(rows.reshape(-1), groups * outputs).reshape(groups, outputs)

    # sum_o w_o sum_c Var[x_c] sum_k dW[o,c,k]^2
    errors = {}
    for count in bits:
        steps = row_steps(split, count, form).astype(split.dtype)[:, :, None, None]
        step = np.where(steps > 0, steps, 1)
        error = split - np.rint(split / step) * step
        power = np.square(error, out=error).sum(axis=3, dtype=np.float64)
        errors[count] = float(np.einsum("goc,gc,go->", power, by_input, by_output))
    return errors


def _folded(
    split: np.ndarray, known: ChannelStats | None, sigma: Array | None
) -> tuple[np.ndarray, Array]:
    """Fold channel scales into a weight (g, O/g, C/g, K), and the variance that it meets."""
    groups, _, inputs, _ = split.shape
    var = np.ones(groups * inputs)
    if known is not None:
        var = np.broadcast_to(channels(known.var), groups * inputs)
    if sigma is not None:
        sigma = np.broadcast_to(sigma, groups * inputs)
        split = split * sigma.reshape(groups, 1, inputs, 1).astype(np.float32)
        var = var / sigma**2
    return split, var.reshape(groups, inputs)
