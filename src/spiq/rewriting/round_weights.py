"""Round folded weights to integers, and biases with them.

A weight gets one symmetric step s_o per output channel and is rounded as the plan says, see
:mod:`spiq.rewriting.rounding`. Rounding moves it by dW, which moves the mean of the
output by E[x] dW; since E[x] is known, this is taken off the bias (analytic bias correction; Nagel
et al.: "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
eq. 17), zero padding included. Biases are stored as 32-bit integers on the step s_x s_o, so s_o is
never so small that a bias would leave them (a row of zeros, say).

Where a target wants one step per layer, the largest of s_o is that of all; where it wants powers of
two, the next larger one; with one step per layer half of that, if more is lost by rounding than by
cutting the largest weights. A bias of 8 bits has a step of its own, the least that holds it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.errors import PlanError
from spiq.graph.lazy import Later
from spiq.passes.layer_weights import bias_of, weight_and_bias
from spiq.planning.plan.derive import next_half, next_power
from spiq.planning.plan.entries import LayerPlan
from spiq.planning.plan.pair_sums import is_bound, row_steps, without_overflow
from spiq.planning.plan.resolve import StoredTensor
from spiq.rewriting.dense_groups import dense
from spiq.rewriting.directions import keeps_zeros
from spiq.rewriting.fold_scales import channel_scale
from spiq.rewriting.rounding import ROUNDINGS, Kernels, Rounding
from spiq.stats.channel import Array, ChannelStats
from spiq.stats.correlation import Correlation, assumed
from spiq.stats.rules.linear import grouped, over_taps, per_output, tap_shares
from spiq.stats.rules.types import channels
from spiq.targets import Weights

_BIAS_LIMIT = 2.0**30


@dataclass(frozen=True)
class RoundedLayer:
    """A layer's integers.

    Attributes:
        weight: int8, in the shape of the layer's weight; of a large network kept on a shelf.
        step: One per output channel, shape (O,), float32.
        bias: int32, shape (O,), on the step ``step`` times the input's; or int8, on ``bias_step``;
            or float32, as it is.
        bias_step: The step of a bias of 8 bits.
        per_channel: Whether steps differ from channel to channel; all are the same if not.
    """

    weight: npt.NDArray[np.int8] | Later
    step: npt.NDArray[np.float32]
    bias: npt.NDArray[np.int32] | npt.NDArray[np.int8] | npt.NDArray[np.float32]
    bias_step: np.float32 | None = None
    per_channel: bool = True


@dataclass(frozen=True)
class LearnedLayer:
    """What was learned of a layer, scales folded in: it is rounded so, and not anew.

    Attributes:
        integers: The weight, in its shape.
        step: One per output channel, shape (O,).
        bias: The bias, shape (O,).
    """

    integers: npt.NDArray[np.int8]
    step: npt.NDArray[np.float32]
    bias: Array


def round_layer(
    node: ir.Node,
    layer: LayerPlan,
    source: StoredTensor,
    known: ChannelStats,
    correlation: Correlation | None = None,
    form: Weights | None = None,
    learned: LearnedLayer | None = None,
) -> RoundedLayer:
    """Round the folded weight and bias of ``node``.

    Args:
        node: The layer, scales folded.
        layer: How to round.
        source: How the layer's input is stored.
        known: Statistics of the layer's input, before scales were folded.
        correlation: Correlation of the layer's input, if it was observed.
        form: What the target wants weights and biases to look like.
        learned: What they are, if that was learned.
    """
    form = form or Weights()
    if learned is not None:
        integers = _in_shape(learned.integers, weight_and_bias(node)[0])
        integers = _summed_narrowly(node, integers) if form.narrow_sums else integers
        return _with_bias(integers, learned.step, learned.bias, source, form)
    bias = bias_of(node)
    least = np.abs(bias) / (source.grid.step * _BIAS_LIMIT)
    sigma = channel_scale(source)
    mean, var = channels(known.mean), channels(known.var)
    if sigma is not None:
        mean, var = mean / sigma, var / sigma**2
    least = _least_steps(node, layer, form, least, var)
    cut = np.inf if form.per_channel else float(least[0]) * (2 ** (layer.bits - 1) - 1)
    integers, step = round_weight(node, layer, least, var=var, correlation=correlation, cut=cut)
    if form.narrow_sums:
        integers = _summed_narrowly(node, integers)
    if layer.bias_correction:
        shift = mean_shift(node, integers, step, mean)
        kept = (bias == 0) & keeps_zeros(node)
        bias = bias - np.where(kept, 0, shift)
    return _with_bias(integers, step, bias, source, form)


def _in_shape(integers: npt.NDArray[np.int8], weight: np.ndarray) -> npt.NDArray[np.int8]:
    """Return integers in the shape of a weight whose groups may have been made one since."""
    if integers.shape == weight.shape:
        return integers
    return dense(integers, weight.shape[1] // integers.shape[1])


def _with_bias(
    integers: npt.NDArray[np.int8],
    step: npt.NDArray[np.float32],
    bias: Array,
    source: StoredTensor,
    form: Weights,
) -> RoundedLayer:
    """Return a layer with its bias stored as the target wants it."""
    if form.bias_bits == 0:
        return RoundedLayer(integers, step, bias.astype(np.float32), None, form.per_channel)
    if form.bias_bits == 8:
        own, integers_of_bias = _narrow_bias(bias)
        return RoundedLayer(integers, step, integers_of_bias, own, form.per_channel)
    stored = np.rint(bias / (source.grid.step * step.astype(np.float64)))
    limit = np.iinfo(np.int32)
    bounded = np.clip(stored, limit.min, limit.max).astype(np.int32)
    return RoundedLayer(integers, step, bounded, per_channel=form.per_channel)


def _least_steps(node: ir.Node, layer: LayerPlan, form: Weights, least: Array, var: Array) -> Array:
    """Return the least steps, with all that a target's form of weights makes of them."""
    plain = form.per_channel and not (form.powers_of_two or form.half_steps)
    if plain and not is_bound(layer.bits, form):
        return least
    weight, _ = weight_and_bias(node)
    steps = np.maximum(row_steps(grouped(node, weight), layer.bits, form).reshape(-1), least)
    if not form.per_channel:
        steps = np.full_like(steps, steps.max())
    if form.half_steps:
        return next_half(steps)
    if not form.powers_of_two:
        return np.asarray(steps)
    powers: Array = next_power(steps)
    if form.per_channel or (powers / 2 < least).any():
        return powers
    lost = [_lost(node, float(power), layer.bits, var) for power in (powers[0], powers[0] / 2)]
    return np.asarray(powers if lost[0] <= lost[1] else powers / 2)


def _summed_narrowly(node: ir.Node, integers: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Return a weight no two neighbours of which sum up to too much."""
    return _ungrouped(node, without_overflow(grouped(node, integers)), integers.shape)


def _ungrouped(
    node: ir.Node, split: npt.NDArray[np.int8], shape: tuple[int, ...]
) -> npt.NDArray[np.int8]:
    """Return what :func:`grouped` has split in the shape that it had."""
    return split.reshape(shape[::-1]).T if node.op_type == "MatMul" else split.reshape(shape)


def _lost(node: ir.Node, step: float, bits: int, var: Array) -> float:
    """Return the power that rounding a weight to nearest on one step, and clipping it, adds."""
    weight, _ = weight_and_bias(node)
    split, most = grouped(node, weight), 2 ** (bits - 1) - 1
    error = split - np.clip(np.rint(split / step), -most, most) * step
    met = np.broadcast_to(var, split.shape[0] * split.shape[2]) if var.size > 1 else np.ones(1)
    power = np.square(error).sum(axis=3, dtype=np.float64).sum(axis=1).reshape(-1)
    return float((power * met).sum())


def _narrow_bias(bias: Array) -> tuple[np.float32, npt.NDArray[np.int8]]:
    """Return the step, a power of two, and the integers of a bias of 8 bits."""
    step = next_power(np.abs(bias).max(initial=0.0) / 127) or np.float64(1)
    return np.float32(step), np.rint(bias / step).astype(np.int8)


def round_weight(
    node: ir.Node,
    layer: LayerPlan,
    least: Array | float = 0.0,
    *,
    var: Array | None,
    correlation: Correlation | None,
    cut: float = np.inf,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Round the weight of ``node``.

    Args:
        node: The layer.
        layer: How to round.
        least: The least step of each output channel, shape (O,).
        var: Variance of the layer's input as it meets the weight, shape (C,) or (1,); the same
            for all channels where nothing is known.
        correlation: Correlation of the layer's input, if it was observed.
        cut: Magnitude that larger weights are brought down to.

    Returns:
        The integers, in the shape of the weight, and the step per output channel, shape (O,).
    """
    weight, _ = weight_and_bias(node)
    split = grouped(node, weight)
    if np.isfinite(cut):
        split = np.clip(split, -cut, cut)
    groups, outputs, inputs, _ = split.shape
    if var is None or var.size not in (1, groups * inputs):
        var = np.ones(1)
    rounded = _rounding(layer)(
        Kernels(
            weight=split.astype(np.float32, copy=False),
            qmax=2 ** (layer.bits - 1) - 1,
            least=np.broadcast_to(least, groups * outputs).reshape(groups, outputs),
            var=np.broadcast_to(var, groups * inputs).reshape(groups, inputs),
            correlation=_fitting(correlation or assumed(node), groups),
        )
    )
    integers = _ungrouped(node, rounded.integers.astype(np.int8), weight.shape)
    return integers, rounded.step.reshape(-1).astype(np.float32)


def _rounding(layer: LayerPlan) -> Rounding:
    found = ROUNDINGS.get(layer.rounding)
    if found is None:
        raise PlanError(
            f"unknown rounding {layer.rounding!r}: choose one of {', '.join(ROUNDINGS)}"
        )
    return found


def _fitting(correlation: Correlation, groups: int) -> Correlation:
    """Return the correlation for a layer whose groups may have been made one since.

    Channels of different groups meet in no weight but zeros, which they leave zeros if they are
    uncorrelated.
    """
    between = correlation.channels
    if groups > 1 or between is None or len(between) == 1:
        return correlation
    count, size = between.shape[:2]
    whole = np.zeros((count, size, count, size), between.dtype)
    whole[np.arange(count), :, np.arange(count)] = between
    taps = correlation.taps.mean(axis=0, keepdims=True)
    return Correlation(whole.reshape(1, count * size, count * size), taps)


def mean_shift(
    node: ir.Node, integers: npt.NDArray[np.int8], step: npt.NDArray[np.float32], mean: Array
) -> Array:
    """Return sum_{c,k} E[x_c] share_k dW[o,c,k], shape (O,).

    Args:
        node: The layer, its weight not yet rounded.
        integers: Its weight, rounded.
        step: The step per output channel, shape (O,).
        mean: E[x_c], shape (C,) or (1,).
    """
    weight, _ = weight_and_bias(node)
    shape = (1, -1) if node.op_type == "MatMul" else (-1,) + (1,) * (weight.ndim - 1)
    moved = integers * step.reshape(shape)
    moved -= weight
    split = grouped(node, moved)
    size = split.shape[0] * split.shape[2]
    return per_output(over_taps(split, tap_shares(node)), np.broadcast_to(mean, size))
