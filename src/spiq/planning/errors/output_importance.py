"""How much an error counts at an output: relative to the signal of what it is an error of.

An output may hold several things side by side, as a detector's boxes in pixels beside scores below
1. Relative to the power of all of it, errors of the scores would count for nothing, and what leads
to them would be rounded without care. So what a Concat joins is looked at apart. Parts whose mean
variances lie within a factor of 100 of the next are one kind, kinds count alike, and an error
counts relative to the power of its kind:

    w_c = 1 / (K sum_{j of c's kind} Var[y_j])

With one kind, as in any classifier, this is the power of the whole output.
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.query import data_inputs
from spiq.stats.channel import Array
from spiq.stats.propagate import Measured
from spiq.stats.routing import gather, mixture, route

_APART = 100.0
"""Ratio of variances, 10 of deviations, from which on things are of two kinds. A judgement: logits
of one layer differ by less, boxes in pixels and scores by 1e4 and more."""

_DEEP = 16
"""Movers that are looked through, from an output on."""


def output_importance(value: ir.Value, measured: Measured) -> Array:
    """Return the importance of each entry of an output's layout."""
    var, power = measured.stats[value].var, _power_of_parts(value, measured, _DEEP)
    levels = np.unique(power[power > 0])
    if not len(levels):
        return np.ones(var.shape)
    starts = levels[1:][levels[1:] > _APART * levels[:-1]]
    kind = np.searchsorted(starts, power, side="right")
    totals = np.bincount(kind.reshape(-1), weights=var.reshape(-1), minlength=len(starts) + 1)
    return np.asarray(1 / (len(totals) * totals[kind]))


def _power_of_parts(value: ir.Value, measured: Measured, deep: int) -> Array:
    """Return the mean variance of the part that each entry of a tensor's layout comes from."""
    known = measured.stats[value]
    own = np.full(known.layout, known.var.mean() if known.var.size else 0.0)
    node, deep = value.producer(), deep - 1
    sources = data_inputs(node) if node is not None and deep else []
    if node is None or not sources or any(source not in measured.stats for source in sources):
        return own
    layouts = [measured.stats[source].layout for source in sources]
    maps = route(node, layouts)
    mixed = maps or mixture(node, layouts)
    if mixed is None:
        return own
    entry = mixed[node.outputs.index(value)]
    shown = gather(entry, [_power_of_parts(source, measured, deep) for source in sources])
    parts = shown if maps else shown.mean(axis=0)
    return parts if parts.shape == own.shape else own
