"""Ways to round the weight of a layer to integers times one step per output channel.

``nearest`` moves every entry by at most half a step. What counts is the layer's output, though:
where inputs are alike, errors of the same sign add up. With S the covariance of what one row meets,
the error of an output is e^T S e.

``squant`` (:mod:`spiq.rewriting.squant`) takes all inputs of a kernel as alike, and a little also
those of different kernels. ``correlated`` (here) knows S = (d R d) x T, d being the deviations of
channels, from the statistics of the layer's input and from :mod:`spiq.stats.correlation`, and

1. takes for each row the step, up to its largest weight, with the least expected error: at few
   bits it pays to clip;
2. rounds one weight after the other, the error of each being made up for by those that follow:
   GPTQ (Frantar et al.: "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
   Transformers", ICLR 2023), which is Babai's nearest plane in the lattice of S;
3. goes over the weights again and rounds each anew given all others, which never makes it worse;
4. scales each row so that its output keeps its variance. Rounding to the nearest point shrinks the
   row a little, and what shrinks in every layer is gone at the end.

Where channels are taken as uncorrelated, step 3 has nothing left to do but for taps and is left
out. From seven bits on, steps 1, 3 and 4 gain next to nothing and the activations' rounding
outweighs the weights': the network is not run, and the kernel's shape alone gives T.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spiq.planning.plan.entries import LayerPlan
from spiq.rewriting.feedback import Floats, Metric, feedback, refine
from spiq.rewriting.squant import squant_integers
from spiq.stats.channel import Array
from spiq.stats.correlation import Correlation

FINE = 7
"""Bits from which on ``correlated`` looks at nothing but the taps of each kernel."""

_CLIPS = np.geomspace(1.0, 0.3, 12)
"""Steps that are tried, relative to the one that clips nothing."""

_FEW, _TRIES = 32, np.geomspace(0.8, 1.25, 9)
"""Rows of so few weights are rounded on several steps, relative to the one found."""

_TOGETHER = 8192
"""Kernels that are rounded at once: few enough for the cache, eight times as fast as 262144."""

_DAMPING = 0.01
"""Share of the mean variance that is added to every channel's, so that none counts for nothing."""


@dataclass(frozen=True)
class Kernels:
    """The weight of a layer, and what is known of its input.

    Attributes:
        weight: Shape (g, O/g, C/g, K), groups and taps apart.
        qmax: Largest integer.
        least: Least step of each output channel, shape (g, O/g).
        var: Variance of the inputs, shape (g, C/g).
        correlation: Correlation of the inputs.
    """

    weight: Floats
    qmax: int
    least: Array
    var: Array
    correlation: Correlation


@dataclass(frozen=True)
class Rounded:
    """Integers, in the shape of the weight, and the step of each output channel, (g, O/g)."""

    integers: Floats
    step: Array


Rounding = Callable[[Kernels], Rounded]

_NOTHING = 1e-30


def nearest(kernels: Kernels) -> Rounded:
    """Round every entry to the nearest integer."""
    step = _peak_step(kernels)
    rounded = np.rint(_in_steps(kernels, step))
    return Rounded(np.clip(rounded, -kernels.qmax, kernels.qmax, out=rounded), step)


def squant(kernels: Kernels) -> Rounded:
    """Round so that errors sum to nearly nothing, per kernel and per output channel."""
    step = _peak_step(kernels)
    return Rounded(squant_integers(_in_steps(kernels, step), kernels.qmax), step)


def correlated(kernels: Kernels) -> Rounded:
    """Round so that the output is expected to be moved least."""
    if kernels.qmax >= 2 ** (FINE - 1) - 1:
        step = _peak_step(kernels)
        scaled = _in_steps(kernels, step)
        return Rounded(_along_taps(scaled, kernels, into=scaled), step)
    if kernels.correlation.channels is None:
        return _channels_apart(kernels)
    order, metric = _second_moments(kernels)
    places = order[:, :, None, None]
    rows = np.take_along_axis(kernels.weight.transpose(0, 2, 3, 1), places, axis=1)
    integers, step = _rounded(
        rows, _least_error_step(kernels, rows, metric.residual), metric, kernels
    )
    back = np.empty_like(integers)
    np.put_along_axis(back, np.broadcast_to(places, back.shape), integers, axis=1)
    return Rounded(back.transpose(0, 3, 1, 2), step)


ROUNDINGS: dict[str, Rounding] = {"nearest": nearest, "squant": squant, "correlated": correlated}
"""The roundings that a plan may name."""


def needs_correlation(layer: LayerPlan) -> bool:
    """Return whether a layer's rounding makes use of an observed correlation."""
    return ROUNDINGS.get(layer.rounding) is correlated and layer.bits < FINE


def _peak_step(kernels: Kernels) -> Array:
    """Return the least step that clips nothing, 1 for rows of zeros.

    What is beneath all numbers counts as zero: its step, or a bias's, would be 0 in float32.
    """
    low, high = (end(axis=(2, 3)) for end in (kernels.weight.min, kernels.weight.max))
    peak = np.maximum(high, -low).astype(np.float64)  # no copy of all magnitudes
    step = np.maximum(peak / kernels.qmax, kernels.least)
    return np.where(step > _NOTHING, step, 1.0)


def _in_steps(kernels: Kernels, step: Array) -> Floats:
    # float32 as stored, or the largest weight ends beside qmax
    return kernels.weight / step.astype(np.float32)[:, :, None, None]


def _along_taps(steps: Floats, kernels: Kernels, *, into: Floats | None = None) -> Floats:
    """Round each kernel for itself, (g, O, C, K): its taps make up for one another.

    Args:
        steps: The weight in steps.
        kernels: The layer.
        into: Where the integers go, be it to ``steps`` itself; by default to an array of their own.
    """
    groups, _, _, taps = steps.shape
    if taps == 1:
        rounded = np.rint(steps, out=into)
        return np.clip(rounded, -kernels.qmax, kernels.qmax, out=rounded)
    metric = Metric(np.ones((1, 1, 1), np.float32), kernels.correlation.taps)
    flat = steps.reshape(groups, -1, taps)
    rounded = np.empty_like(flat) if into is None else into.reshape(flat.shape)
    for start in range(0, flat.shape[1], _TOGETHER):
        part = slice(start, start + _TOGETHER)
        rows = flat[:, part].swapaxes(1, 2)[:, None]
        rounded[:, part] = feedback(rows, metric, kernels.qmax)[:, 0].swapaxes(1, 2)
    return rounded.reshape(steps.shape)


def _channels_apart(kernels: Kernels) -> Rounded:
    """Take steps 1, 2 and 4 with channels uncorrelated: what is left are products per channel."""
    var, taps = kernels.var.astype(np.float32), kernels.correlation.taps
    var = var / max(float(var.max()), 1e-30) + 1e-9
    kernel = Metric(np.ones((1, 1, 1), np.float32), taps)
    rows = kernels.weight.transpose(0, 2, 3, 1)
    step = _least_error_step(kernels, rows, kernel.residual * var[:, :, None])
    scaled = _in_steps(kernels, step)
    integers = _along_taps(scaled, kernels)

    def power(x: Floats) -> Array:
        met = np.square(x) if x.shape[3] == 1 else x * (x @ taps[:, None])
        summed: Array = np.einsum("gock,gc->go", met, var).astype(np.float64)
        return summed

    kept = step * _kept(power(scaled), power(integers))
    return Rounded(integers, np.maximum(kept, kernels.least))


def _kept(wanted: Array, got: Array) -> Array:
    """Return the factor for a row of power ``got`` that gives it the power ``wanted``."""
    factor = np.sqrt(np.maximum(wanted, 0) / np.maximum(got, 1e-30))
    return np.where((factor > 0.5) & (factor < 2), factor, 1)


def _second_moments(kernels: Kernels) -> tuple[npt.NDArray[np.intp], Metric]:
    """Return the order in which channels are stored, and S in that order.

    Those with the least variance come first: feedback begins at the end, and what it leaves over
    ends in the first.
    """
    var = kernels.var + _DAMPING * kernels.var.mean(axis=1, keepdims=True)
    # a network of any scale, and no division by zero
    var = var / np.maximum(var.mean(axis=1, keepdims=True), 1e-30) + 1e-9
    order = np.argsort(var, axis=1, kind="stable")
    deviation = np.sqrt(np.take_along_axis(var, order, axis=1))
    channels = kernels.correlation.channels
    assert channels is not None
    channels = np.broadcast_to(channels, (len(var), *channels.shape[1:]))
    sorted_ = np.take_along_axis(channels, order[:, :, None], axis=1)
    sorted_ = np.take_along_axis(sorted_, order[:, None, :], axis=2)
    between = sorted_ * (deviation[:, :, None] * deviation[:, None]).astype(np.float32)
    return order, Metric(between, kernels.correlation.taps)


def _least_error_step(kernels: Kernels, rows: Floats, residual: Floats) -> Array:
    """Return the step of each row with the least error, by what feedback cannot make up for.

    Args:
        kernels: The layer.
        rows: Its weight, shape (g, C, K, O).
        residual: What an error of each weight costs, shape (g, C, K).
    """
    peak = _peak_step(kernels).astype(np.float32)
    flat = rows.reshape(len(rows), -1, rows.shape[-1])
    costs = np.broadcast_to(residual, rows.shape[:3]).reshape(len(rows), 1, -1)
    best, least = np.full(peak.shape, np.inf), peak.copy()
    for clip in _CLIPS:
        step = np.maximum(peak * clip, kernels.least).astype(np.float32)
        error = flat / step[:, None]
        rounded = np.rint(error)
        np.clip(rounded, -kernels.qmax, kernels.qmax, out=rounded)
        error -= rounded
        np.square(error, out=error)
        cost = (costs @ error)[:, 0].astype(np.float64) * step.astype(np.float64) ** 2
        least = np.where(cost < best, step, least)
        best = np.minimum(cost, best)
    return least.astype(np.float64)


def _rounded(rows: Floats, step: Array, metric: Metric, kernels: Kernels) -> tuple[Floats, Array]:
    """Round rows on their steps; rows of few weights on several, of which the best is kept.

    Returns:
        The integers, and the steps with which outputs keep their variance.
    """
    groups, channels, size, outputs = rows.shape
    tries = _TRIES if channels * size <= _FEW else np.ones(1)
    steps = np.maximum(step[:, None] * tries[:, None], kernels.least[:, None])

    # 2 and 3: all tries at once, beside each other
    flat = steps.reshape(groups, -1)
    wide: Floats = np.tile(rows, len(tries))
    divisor: Floats = flat[:, None, None].astype(np.float32)
    scaled = wide / divisor
    integers = feedback(scaled, metric, kernels.qmax)
    integers, slope = refine(scaled, integers, metric, kernels.qmax)

    # x^T S x, q^T S x and q^T S q of every row, in steps
    power = np.einsum("gcko,gcko->go", rows, metric.times(rows)).astype(np.float64)
    wanted = (power[:, None] / steps**2).reshape(groups, -1)
    met = wanted + np.einsum("gcko,gcko->go", scaled, slope)
    got = met + np.einsum("gcko,gcko->go", integers, slope)
    cosine = met / np.sqrt(np.maximum(got, 1e-30))
    cosine = cosine / np.sqrt(np.maximum(wanted, 1e-30))

    # the try whose output points most like the one wanted
    best = cosine.reshape(groups, len(tries), outputs).argmax(axis=1)
    place = best * outputs + np.arange(outputs)

    # 4: with the variance that is wanted
    final = flat * _kept(wanted, got)
    final = np.maximum(np.take_along_axis(final, place, axis=1), kernels.least)
    if len(tries) > 1:
        integers = np.take_along_axis(integers, place[:, None, None], axis=3)
    return integers, final
