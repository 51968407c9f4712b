"""What the layers in front of a BatchNormalization imply for the mean of its input.

A BatchNormalization makes two statements that one forward pass in training mode sets apart: its
running mean, and, in gamma and beta, the moments N(beta, gamma^2) of its output, for which the
layers behind it were trained. From the latter follows the mean of the next one's input. Where all
between them is linear it follows exactly, E[W x + b] = W E[x] + b. Behind an activation f of
x ~ (m, v), whose distribution is nearly but not quite normal,

    E[f(x)] = f(m) + theta (E_N[f(x)] - f(m)) + kappa E_N[f(x) He_3(z)] / 6

has three *terms*: the *base* f(m), which assumes nothing, the *gap* that a normal distribution
adds to it, and the *skew* of a lopsided one (the first term of Gram and Charlier's series;
z = (x - m)/sqrt(v), He_3(z) = z^3 - 3 z). Linear layers carry all three. How much of the last two
there is in a layer, theta and kappa, is for :mod:`spiq.stats.consistency` to find.

Followed are linear operators, those that move data, and activations; behind anything else (maxima,
products of tensors) nothing is implied until the next BatchNormalization.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from spiq.graph.query import constant, data_inputs, is_constant
from spiq.passes.batchnorm import Norm
from spiq.passes.layer_weights import weight_and_bias
from spiq.passes.prepare import Prepared
from spiq.stats.channel import Array, ChannelStats, stats
from spiq.stats.movers import MOVERS
from spiq.stats.propagate import Measured, handed_back
from spiq.stats.routing import gather, route
from spiq.stats.rules import RULES
from spiq.stats.rules.activations import Function, function_of
from spiq.stats.rules.arithmetic import gated
from spiq.stats.rules.linear import grouped, over_taps, tap_shares
from spiq.stats.rules.types import beside, channels

_ROWS = 128
"""Outputs of a dense layer that are looked at: more take time and add no certainty."""

_Z = np.linspace(-6, 6, 49)
_DENSITY = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()
_WEIGHTS = np.stack([_DENSITY, _DENSITY * (_Z**3 - 3 * _Z) / 6], axis=1)


@dataclass(frozen=True)
class Implied:
    """What is stated of the mean of a BatchNormalization's input, and what is implied for it.

    Attributes:
        node: What writes the input.
        stated: The running mean, shape (n,).
        std: The deviation that the running variance states, shape (n,).
        terms: Base, gap and skew, shape (n, 3).
        depth: Activations that lie between the input and the BatchNormalizations before it.
        first: Whether it depends on what the network's input is taken to be.
    """

    node: ir.Node
    stated: Array
    std: Array
    terms: Array
    depth: int
    first: bool


@dataclass(frozen=True)
class _Known:
    """Of one tensor: base, gap and skew, each in the tensor's layout, shape (3, *layout)."""

    terms: Array
    depth: int = 0
    first: bool = False
    clean: bool = True
    """Whether what was measured of the tensor owes nothing to a running mean."""


def implied_means(prepared: Prepared, measured: Measured) -> Iterator[Implied]:
    """Yield what is implied for the input of each BatchNormalization, where anything is.

    Args:
        prepared: The network.
        measured: Its statistics.
    """
    graph, norms = prepared.model.graph, dict[ir.Value, list[Norm]]()
    for norm in prepared.norms:
        norms.setdefault(norm.value, []).append(norm)
    handed = handed_back(graph, prepared.stated).keys() - prepared.stated.keys()
    known = {
        value: replace(_start(stats), first=True)
        for value in graph.inputs
        if value not in norms and (stats := measured.stats.get(value)) is not None
    }
    for node in graph:
        own = norms.get(node.outputs[0], [])
        if node.op_type != "BatchNormalization":
            # What is written into a norm is asked for a few rows only: it starts anew behind it.
            sampled = bool(own) and own[0].a is not None
            for value, carried in _through(node, known, measured, sampled=sampled).items():
                for norm in norms.get(value, ()):
                    yield from _compare(node, norm, carried)
                told = value in norms or value.name in handed
                known[value] = replace(carried, clean=carried.clean and not told)
        for value in node.outputs:
            stated = measured.stats.get(value)
            if stated is not None and _is_output(value, norms) and value.name in prepared.stated:
                known[value] = _start(stated)
            elif _was_folded_onwards(value, norms):
                known.pop(value, None)


def _start(found: ChannelStats) -> _Known:
    nothing = np.zeros_like(found.mean)
    return _Known(np.stack([found.mean, nothing, nothing]))


def _is_output(value: ir.Value, norms: Mapping[ir.Value, Sequence[Norm]]) -> bool:
    """Return whether ``value`` is a BatchNormalization's output."""
    producer = value.producer()
    kept = producer is not None and producer.op_type == "BatchNormalization"
    return kept or any(norm.a is not None for norm in norms.get(value, ()))


def _was_folded_onwards(value: ir.Value, norms: Mapping[ir.Value, Sequence[Norm]]) -> bool:
    """Return whether a layer that reads ``value`` has taken a BatchNormalization in."""
    readers = {node.op_type for node in value.consumers()}
    return value in norms and "BatchNormalization" not in readers


def _compare(node: ir.Node, norm: Norm, found: _Known) -> Iterator[Implied]:
    terms = np.stack([channels(part) for part in found.terms], axis=1)
    size = len(norm.input.mean)
    rows = np.arange(size)[:: _step(size)] if len(terms) < size else np.arange(size)
    if len(terms) != len(rows):
        return
    mean, std = norm.input.mean[rows], np.sqrt(np.maximum(norm.input.var[rows], 0))
    live = std > 1e-5 * std.max(initial=0)
    if norm.a is not None and norm.b is not None:
        a, b = norm.a[rows], norm.b[rows]
        live &= np.abs(a) * std > 1e-5 * (np.abs(a) * std).max(initial=0)
        terms[:, 0] -= b
        terms /= np.where(live, a, 1)[:, None]
    live &= np.isfinite(terms).all(axis=1) & np.isfinite(mean)
    yield Implied(node, mean[live], std[live], terms[live], found.depth, found.first)


def _step(outputs: int) -> int:
    return max(1, outputs // _ROWS)


def _through(
    node: ir.Node, known: Mapping[ir.Value, _Known], measured: Measured, *, sampled: bool
) -> dict[ir.Value, _Known]:
    """Return what is known of the outputs of a node, if it is one that is followed."""
    sources = data_inputs(node)
    if node.domain != "" or not sources or any(value not in known for value in sources):
        return {}
    gate = gated(node)
    function = gate[1] if gate is not None else function_of(node)
    parts = [known[value] for value in sources]
    result = _Known(
        np.zeros(0),
        max(part.depth for part in parts) + (function is not None),
        any(part.first for part in parts),
        all(part.clean for part in parts),
    )
    if function is not None:
        x = gate[0] if gate is not None else sources[0]
        terms = _activated(function, known[x].terms, measured.stats[x]) if result.clean else None
        made = None if terms is None else [terms]
    elif node.op_type in ("Conv", "ConvTranspose", "Gemm"):
        made = _weighted(node, parts[0].terms, sampled=sampled)
    else:
        carry = _CARRIERS.get(node.op_type)
        made = None if carry is None else carry(node, [part.terms for part in parts])
    values = zip(node.outputs, made or (), strict=False)
    return {value: replace(result, terms=terms) for value, terms in values}


def _activated(function: Function, terms: Array, x: ChannelStats) -> Array:
    base, tilted = (function(part[..., None])[..., 0] for part in (terms[0], terms[0] + terms[2]))
    points = x.mean[..., None] + x.std[..., None] * _Z
    moments = function(np.clip(points, x.low[..., None], x.high[..., None])) @ _WEIGHTS
    return np.stack([base, moments[..., 0] - base, moments[..., 1] + tilted - base])


def _weighted(node: ir.Node, terms: Array, *, sampled: bool) -> list[Array] | None:
    if not is_constant(node.inputs[1]) or (len(data_inputs(node)) > 1):
        return None
    weight, bias = weight_and_bias(node)
    split = grouped(node, weight)
    groups, outputs, inputs, taps = split.shape
    step = _step(groups * outputs) if sampled and groups == 1 else 1
    x = np.stack([channels(part) for part in terms], axis=1)
    shares = tap_shares(node)
    if len(x) not in (1, groups * inputs) or len(shares) != taps or not (np.abs(x) < 1e30).all():
        return None
    x = np.broadcast_to(x, (groups * inputs, 3)).reshape(groups, inputs, 3)
    summed = over_taps(split[:, ::step], shares)
    made = (summed @ x.astype(split.dtype)).reshape(-1, 3).astype(np.float64)
    made[:, 0] += bias[::step]
    return [made.T.reshape(3, 1, -1, *(1,) * (terms.ndim - 3))]


Carrier = Callable[[ir.Node, Sequence[Array]], list[Array] | None]


def _moved(node: ir.Node, parts: Sequence[Array]) -> list[Array] | None:
    maps = route(node, [part.shape[1:] for part in parts])
    if maps is None or len(parts) < sum(value is not None for value in node.inputs[: len(parts)]):
        return None
    return [np.stack([gather(entry, [p[k] for p in parts]) for k in range(3)]) for entry in maps]


def _by_rule(node: ir.Node, parts: Sequence[Array]) -> list[Array] | None:
    """Carry the terms as means, one after the other, through an operator without constants."""
    missing = [None] * (len(node.inputs) - 1)
    found = [RULES[node.op_type](node, [stats(term, 0.0), *missing]) for term in parts[0]]
    means = [result[0].mean for result in found if result is not None]
    return [np.stack(means)] if len(means) == 3 else None


def _added(node: ir.Node, parts: Sequence[Array]) -> list[Array] | None:
    if len(parts) == 2:
        return [parts[0] + parts[1] if node.op_type == "Add" else parts[0] - parts[1]]
    if is_constant(node.inputs[0]) and node.op_type == "Sub":
        return None
    array = constant(node.inputs[0] if is_constant(node.inputs[0]) else node.inputs[1])
    sign = -1 if node.op_type == "Sub" else 1
    if array is None or not np.isfinite(array).all():
        return None
    base = parts[0][0] + sign * beside(array, parts[0].shape[1:]).mean
    return [np.stack(np.broadcast_arrays(base, *parts[0][1:]))]


def _scaled(node: ir.Node, parts: Sequence[Array]) -> list[Array] | None:
    turned = is_constant(node.inputs[0])
    array = constant(node.inputs[0] if turned else node.inputs[1])
    if array is None or len(parts) > 1 or (turned and node.op_type == "Div"):
        return None
    factor = beside(array, parts[0].shape[1:]).mean
    return [parts[0] * factor if node.op_type == "Mul" else parts[0] / factor]


_CARRIERS: dict[str, Carrier] = {
    **dict.fromkeys(MOVERS, _moved),
    **dict.fromkeys(("Add", "Sub"), _added),
    **dict.fromkeys(("Mul", "Div"), _scaled),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "ReduceMean", "Resize"), _by_rule),
}
