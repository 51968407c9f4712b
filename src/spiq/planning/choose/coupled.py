"""Groups of tensors of which none can be decided alone.

With one step for all of a layer's weight, its error depends on the channel scales of what it reads
and of what it writes (:mod:`spiq.planning.errors.weight_error`), which are two groups. All begin
with the largest alpha, which gives every channel the same range, and with that rows of weights that
are much alike: a row is as large as what it writes. Then each group is decided, given all others,
``SWEEPS`` times.

No alpha suits channels that hardly vary behind depthwise layers, whose rows are large. So where it
pays, scales leave the path that alpha has, between what a channel needs, r_c / R, and 1: those
above which the largest weights of a reader lie come down, those under which the largest rows of a
writer lie go up, or its largest biases, each as far as halves the layer's step once, twice, ...
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from spiq.methods.method import Method
from spiq.planning.choose.group import Grids, Group, Scaled
from spiq.planning.choose.scales import decide
from spiq.planning.errors.weight_error import WeightError
from spiq.planning.plan.derive import unit
from spiq.stats.channel import Array

SWEEPS = 2

_HALVES = 4
"""How often a layer's step is halved at most."""


def settle(groups: Sequence[Group], method: Method) -> list[Scaled]:
    """Decide groups that depend on one another, in order.

    Args:
        groups: All of a network.
        method: The choices that there are.
    """
    widest = replace(method, alphas=method.alphas[-1:])
    found = [decide(group, widest) for group in groups]
    scales = np.ones(max((group.numbers for group in groups), default=1))
    for group, one in zip(groups, found, strict=True):
        scales[group.names] = _scales(one)
    for _ in range(SWEEPS if len(method.alphas) > 1 else 0):
        for number, group in enumerate(groups):
            given = replace(group, others=scales)
            found[number] = _equalized(given, decide(given, method))
            scales[group.names] = _scales(found[number])
    return found


def _scales(scaled: Scaled) -> Array:
    """Return the channel scales that were chosen, in the order of the group's classes."""
    return np.fromiter(scaled.channel_scales.values(), np.float64, len(scaled.channel_scales))


def _equalized(group: Group, scaled: Scaled) -> Scaled:
    """Return the choice with scales that suit the weights better, where that pays."""
    best = scaled
    for layer in group.layers:
        for given in _trials(group, best, layer):
            trial = Grids(best.alpha, best.zero_points, best.widths, best.shared, given=given)
            tried = group.evaluated(trial)
            if tried.cost < best.cost * (1 - 1e-6):
                best = tried
    return best


def _trials(group: Group, scaled: Scaled, layer: WeightError) -> Iterator[dict[int, float]]:
    """Yield scales that make a layer's step smaller, by class."""
    if layer.rows is None:
        return
    now = _scales(scaled)
    scales = group.every_scale(now)
    sigma, after = scales[layer.classes], scales[layer.rows]
    columns = _by_class(group, layer.classes, (layer.peak / after[:, :, None]).max(axis=1))
    rows = _by_class(group, layer.rows, (layer.peak * sigma[:, None]).max(axis=2))

    biases = np.zeros_like(rows)
    if layer.bias is not None:
        biases = _by_class(group, layer.rows, np.abs(layer.bias))

    now = now / now.max()
    needs = group.needs(scaled.zero_points, scaled.widths)
    least = group.sigma(needs, 1.0)
    least = least / least.max()
    for halves in range(1, _HALVES + 1):
        if columns.any():
            most = float((columns * now).max()) / 2**halves
            yield _given(group, needs, np.minimum(now, most / np.maximum(columns, 1e-30)), least)
        if rows.any():
            most = float((rows / now).max()) / 2**halves
            yield _given(group, needs, np.maximum(now, rows / max(most, 1e-30)), least)
        if biases.any():
            most = float((biases / now).max()) / 2**halves
            yield _given(group, needs, np.maximum(now, biases / max(most, 1e-30)), least)


def _by_class(group: Group, classes: np.ndarray, peaks: Array) -> Array:
    """Return the largest number of each class of the group, 0 where it has none."""
    found = np.zeros(len(group.names))
    inside = np.isin(classes, group.names)
    np.maximum.at(found, np.searchsorted(group.names, classes[inside]), peaks[inside])
    return found


def _given(group: Group, needs: Sequence[Array], sigma: Array, least: Array) -> dict[int, float]:
    """Return scales by class, in bounds, in a unit that suits the grid."""
    bounded = np.where(group.held, 1.0, np.clip(sigma, least, 1.0))
    if group.form.powers_of_two and not group.held.any():
        bounded = bounded * unit(needs, group.grids, group.index, bounded)
    return {int(name): float(one) for name, one in zip(group.names, bounded, strict=True)}
