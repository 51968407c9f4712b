"""Inputs that a network joins, channel beside channel, before any layer reads them.

Two frames of a film, samples of sound beside their spectrogram, columns of a table that come in two
pieces: behind the Concat they are one input, and a layer on it states what all of them are at once.
So the equations of :mod:`spiq.stats.inputs.first_layers` have the channels of the input that is
asked for first, and behind them those of the inputs that it is joined with.

Of pictures, all channels are taken for alike, which is right of pictures of one shape alone: fewer
channels of something else beside them (a mask, a map of noise) are taken for nothing, a of their
view being 0. Where there are more of these, what layers state is of them, and tells nothing.
"""

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from spiq.graph.query import dims, holds_floats, weight_nodes
from spiq.stats.input_axis import channel_axis, channel_count
from spiq.stats.inputs.views import View, through


def joined_views(value: ir.Value, graph: ir.Graph, axis: int) -> dict[ir.Value, View]:
    """Return the views that equations for an input begin with: its own, and its companions'.

    Args:
        value: The input.
        graph: The network.
        axis: Where its channels are.
    """
    own = {value: _numbered(value, axis, 0)}
    others = [other for other in graph.inputs if other is not value and _fits(other, value, axis)]
    if not others:
        return own
    met = _meeting(value, {one: _numbered(one, axis, 0) for one in [value, *others]}, graph)
    views, count = own, own[value].c.size
    for other in others:
        if other in met:
            views[other] = _numbered(other, axis, count)
            count += views[other].c.size
    return views


def without_strangers(views: dict[ir.Value, View], value: ir.Value) -> dict[ir.Value, View]:
    """Return the views for a picture, beside which only pictures of its shape count."""
    alike = [one for one in views if (one.dtype, dims(one)) == (value.dtype, dims(value))]
    counted = sum(views[one].c.size for one in alike)
    if sum(view.c.size for view in views.values()) > 2 * counted:
        return {value: views[value]}
    return {
        one: view if one in alike else View(0 * view.a, view.b, view.c)
        for one, view in views.items()
    }


def _fits(other: ir.Value, value: ir.Value, axis: int) -> bool:
    """Return whether an input may lie beside another one."""
    sizes = [len(dims(one) or []) for one in (other, value)]
    known = holds_floats(other) and sizes[0] == sizes[1] > axis
    return known and channel_axis(other) == channel_axis(value) == axis


def _numbered(value: ir.Value, axis: int, first: int) -> View:
    shape = dims(value) or []
    count = channel_count(value) if axis == channel_axis(value) else shape[axis] or 1
    layout = [count if index == axis else 1 for index in range(len(shape))]
    numbers = np.arange(first, first + count, dtype=float).reshape(layout)
    return View(np.ones(layout), np.zeros(layout), numbers)


def _meeting(value: ir.Value, views: dict[ir.Value, View], graph: ir.Graph) -> set[ir.Value]:
    """Return the inputs that are in one tensor with an input before any layer reads them."""
    origins, met = {one: {one} for one in views}, {value}
    for node in graph:
        for result, view in through(node, views, 1).items():
            views[result] = view
            origins[result] = set().union(*(origins.get(one, set()) for one in node.inputs if one))
            met |= origins[result] if value in origins[result] else set()
    return met


def before_layers(graph: ir.Graph, values: Iterable[ir.Value]) -> list[ir.Value]:
    """Return those of some tensors that a layer depends on, read by it or not."""
    layers, found = set(weight_nodes(graph)), list[ir.Value]()
    for value in values:
        behind = {value}
        for node in graph:
            if not behind.isdisjoint(node.inputs):
                behind |= set(node.outputs)
                if node in layers:
                    found.append(value)
                    break
    return found
