"""Moments of a network without normalization layers, observed on synthetic images.

Exporters fold BatchNormalization into the layers by default, and its statistics are gone. What is
left to ask is the network itself: it runs on dead-leaves images, and the mean and variance of each
channel are taken as if a normalization layer had stated them. Such images are poorer than real
ones and move the deep layers less, so the variance is raised by a constant found on published
networks; extremes are not used.
"""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.query import dims, is_float32, rank, weight_nodes
from spiq.passes.batchnorm import Moments
from spiq.passes.prepare import Prepared
from spiq.runtime.expose import expose
from spiq.runtime.synthetic import synthetic_inputs
from spiq.stats.channel import ChannelStats

IMAGES = 16
POORER = 1.3
"""By how much the variance is raised. A channel's variance on dead leaves is 0.9 of the one that
BatchNorm states in the median, and 0.6 to 0.8 in the networks where it is least."""

_ENOUGH = 0.2
_POOLS = frozenset({"GlobalAveragePool", "AveragePool"})
_ARITHMETIC = frozenset({"Add", "Sub", "Mul"})


def lacks_statistics(prepared: Prepared) -> bool:
    """Return whether normalization layers state too little to go by."""
    return len(prepared.stated) < _ENOUGH * len(weight_nodes(prepared.model.graph))


def observe(prepared: Prepared, inputs: dict[str, ChannelStats]) -> Prepared:
    """Return the network with the moments that its layers show on synthetic images.

    Args:
        prepared: The network.
        inputs: Statistics of its inputs, whose range the images fill.

    Raises:
        ModelError: The network does not run.
    """
    graph = prepared.model.graph
    watched = _watched(graph, prepared)
    if not watched:
        return prepared
    exposed = expose(prepared.model, watched)
    names = exposed.names
    ranges = {name: (known.low, known.high) for name, known in inputs.items()}
    sums = {name: [np.zeros(1), np.zeros(1)] for name in names}
    for seed in range(IMAGES):
        given = synthetic_inputs(exposed.session, ranges, images=1, seed=seed)
        for name, array in exposed.run(given).items():
            axes = tuple(axis for axis in range(array.ndim) if axis != 1)
            exact = array.astype(np.float64)
            with np.errstate(invalid="ignore"):  # of numbers that are none: told by the check below
                mean, square = exact.mean(axis=axes), np.square(exact).mean(axis=axes)
            sums[name] = [sums[name][0] + mean, sums[name][1] + square]
    found = {
        name: _moments(first, second)
        for name, (first, second) in sums.items()
        if np.isfinite(second).all()  # not of a sum with a mask
    }
    return replace(prepared, stated=MappingProxyType({**found, **prepared.stated}))


def _watched(graph: ir.Graph, prepared: Prepared) -> list[ir.Value]:
    """Return the values to observe: outputs of layers, sums, products and pools, channels first.

    Behind a MatMul of higher rank channels come last, and nobody knows where that ends.
    """
    layers = set(weight_nodes(graph))
    ends_last = any(node.op_type == "MatMul" and rank(node.outputs[0]) != 2 for node in layers)
    operators = _POOLS if ends_last else _POOLS | _ARITHMETIC
    return [
        value
        for node in graph
        if node in layers or node.op_type in operators
        for value in node.outputs
        if value.name not in prepared.stated
        and is_float32(value)
        and _has_channels(value)
        and not (node.op_type == "MatMul" and rank(value) != 2)
    ]


def _has_channels(value: ir.Value) -> bool:
    shape = dims(value)
    return shape is not None and len(shape) in (2, 4) and shape[1] is not None


def _moments(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> Moments:
    mean = first / IMAGES
    var = np.maximum(second / IMAGES - mean**2, 0)
    return Moments(mean, POORER * var, source="synthetic")
