"""Correlations of the layers' inputs, observed on synthetic images, or real ones if there are any.

BatchNorm states the moments of each channel and nothing of how channels go together. Carrying
covariances from the image through the layers was tried and drifts apart within a few layers (see
docs/experiments.md); what the network itself shows on dead leaves does not. Only correlations are
taken from there, moments come from the statistics as ever.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from math import prod

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.extents import Extent
from spiq.graph.query import dims, ints, is_constant, is_float32, stored_shape
from spiq.passes.cleanup import kernel_shape
from spiq.passes.layer_weights import weight_and_bias
from spiq.runtime.expose import expose
from spiq.runtime.images import Shown
from spiq.runtime.opened import Opened, Tensors
from spiq.runtime.ports import DYNAMIC_SIZE
from spiq.runtime.synthetic import Span, synthetic_inputs
from spiq.stats.channel import ChannelStats
from spiq.stats.correlation import Correlation, Samples, assumed, no_samples
from spiq.stats.rules.linear import grouped
from spiq.stats.rules.types import over_space

IMAGES, _FEWER, _LARGE = 8, 4, 1 << 23
"""Images, and those for a network with so many weights."""

_POSITIONS = 144
"""About how many positions to look at in each image."""

_MOST_CHANNELS = 4096


def observe_correlations(
    model: ir.Model,
    layers: Iterable[str],
    stats: Mapping[ir.Value, ChannelStats],
    images: Shown | None = None,
    *,
    size: Extent = DYNAMIC_SIZE,
) -> dict[str, Correlation]:
    """Return the correlation of the inputs of convolutions, by name of the layer.

    Layers are left out where there is nothing to see: their input is no map, or a map smaller
    than the kernel.

    Args:
        model: The float network, as it was measured. It is left as it is.
        layers: Names of the layers to look at.
        stats: Statistics of the network's tensors.
        images: Real images, if there are any; where they are few, synthetic ones follow.
        size: Height and width of inputs that leave them open.

    Raises:
        ModelError: The network does not run.
    """
    wanted = set(layers)
    watched = [node for node in model.graph if node.name in wanted and _is_watched(node, stats)]
    if not watched:
        return {}
    sums = {str(node.name): _empty(node) for node in watched}
    exposed = expose(model, [node.inputs[0] for node in watched if node.inputs[0] is not None])
    weights = sum(prod(stored_shape(node.inputs[1])) for node in watched)
    most = _FEWER if weights > _LARGE else IMAGES
    ends = {
        str(value.name): (known.low, known.high)
        for value in model.graph.inputs
        if (known := stats.get(value)) is not None
    }
    for given in _feeds(exposed.session, ends, images, most, size):
        arrays = exposed.run(given)
        for node in watched:
            value = node.inputs[0]
            assert value is not None
            _take_in(sums[str(node.name)], node, arrays[str(value.name)], stats[value])
    return {
        str(node.name): samples.correlation(assumed(node))
        for node in watched
        if (samples := sums[str(node.name)]).count and np.isfinite(samples.channels).all()
    }


def _feeds(
    opened: Opened, ends: Mapping[str, Span], images: Shown | None, most: int, size: Extent
) -> Iterator[Tensors]:
    """Yield so many inputs: real images first, then dead leaves."""
    real = images.feeds(opened, most) if images is not None else ()
    drawn = (synthetic_inputs(opened, ends, images=1, seed=seed, size=size) for seed in range(most))
    yield from islice(chain(real, drawn), most)


def _is_watched(node: ir.Node, stats: Mapping[ir.Value, ChannelStats]) -> bool:
    value = node.inputs[0]
    return (
        node.op_type == "Conv"
        and value is not None
        and value in stats
        and is_float32(value)
        and is_constant(node.inputs[1])
        and (dims(node.inputs[1]) or [_MOST_CHANNELS + 1] * 2)[1] <= _MOST_CHANNELS  # type: ignore[operator]
    )


def _empty(node: ir.Node) -> Samples:
    groups, _, channels, taps = grouped(node, weight_and_bias(node)[0]).shape
    return no_samples(groups, channels, taps)


def _take_in(
    samples: Samples, node: ir.Node, array: npt.NDArray[np.generic], known: ChannelStats
) -> None:
    """Add one image's windows to the sums, in deviations from the mean."""
    windows = _windows(node, array.astype(np.float32, copy=False))
    if windows is None or known.mean.ndim != array.ndim:
        return
    x = over_space(known)
    floor = max(1e-3 * float(x.std.max()), 1e-12)
    centre, scale = x.mean.astype(np.float32), np.maximum(x.std, floor).astype(np.float32)
    centred = (windows - centre[:, :, None]) / scale[:, :, None]
    groups, channels, taps = samples.first.shape
    images = centred.reshape(len(centred), groups, channels, taps, -1)
    for image in images:
        samples.add(image)


def _windows(node: ir.Node, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """Return what each tap sees at some positions inside the map, shape (N, C, K, positions...)."""
    kernel = kernel_shape(node)
    dilations = ints(node, "dilations", [1] * len(kernel))
    reach = [(k - 1) * dilation for k, dilation in zip(kernel, dilations, strict=True)]
    counts = [size - far for size, far in zip(array.shape[2:], reach, strict=True)]
    if min(counts) < 1:
        return None
    every = max(1, int(np.ceil((np.prod(counts) / _POSITIONS) ** (1 / len(counts)))))
    seen = []
    for place in np.argwhere(np.ones(kernel)) * dilations:
        spans = [slice(int(p), int(p) + c, every) for p, c in zip(place, counts, strict=True)]
        seen.append(array[(slice(None), slice(None), *spans)])
    return np.stack(seen, axis=2)
