"""What two forms of a network are shown to be compared: synthetic pictures, or the user's images.

Pictures fill the range that the quantized network stores, or else what the float one expects,
unless the options say what the inputs are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import numpy_helper

from spiq.config import Config
from spiq.errors import ModelError
from spiq.graph.extents import Extent
from spiq.graph.indices import integer_ends
from spiq.inspection.counterparts import quantizer
from spiq.inspection.exposed import Exposed
from spiq.io.images import listed
from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare
from spiq.runtime.images import Shown, shown
from spiq.runtime.sizes import small_size
from spiq.runtime.synthetic import Span, Tensors, synthetic_inputs
from spiq.runtime.trials import tried
from spiq.stats.channel import ChannelStats
from spiq.stats.inputs import input_stats, judge, shown_ends

_COLOURS = frozenset((1, 3, 4))
"""Numbers of channels that pictures have."""


def feeds(first: Exposed, second: Exposed, images: int, config: Config) -> Iterator[Tensors]:
    """Yield what both networks are shown, one image at a time.

    Shapes are those of the network that fixes more of them.

    Args:
        first: The float network.
        second: The quantized one.
        images: How many synthetic images; real ones are all shown.
        config: What is said of the inputs: their ranges, size and order, and real images.

    Raises:
        ConfigError: The images cannot be read or do not fit.
    """
    strict = max(first, second, key=lambda network: _fixed_sizes(network.inputs))
    size = config.extent or small_size(strict.session)
    stored = _stored(first, second, config)
    if config.images is not None:
        yield from _real(first, config, stored, size).feeds(strict.session)
        return

    expected = {} if len(stored) == len(first.inputs) else _expected(first, config)
    for seed in range(images):
        yield synthetic_inputs(strict.session, expected | stored, seed=seed, size=size)


def _fixed_sizes(inputs: Mapping[str, list[Any]]) -> int:
    return sum(isinstance(size, int) for shape in inputs.values() for size in shape)


def _stored(first: Exposed, second: Exposed, config: Config) -> dict[str, Span]:
    """Return the range of the pictures of which nothing is said, from the grids that store them."""
    pictures = [name for name, shape in first.inputs.items() if _may_be_picture(shape)]
    silent = [name for name in pictures if not config.values_of(name).given]
    grids = {name: _grid_range(name, second) for name in silent}
    return {name: ends for name, ends in grids.items() if ends is not None}


def _may_be_picture(shape: list[Any]) -> bool:
    return len(shape) == 4 and not _COLOURS.isdisjoint([shape[1], shape[3]])


def _expected(network: Exposed, config: Config) -> dict[str, Span]:
    """Return the range of inputs that the float network expects, or is said to."""
    try:
        prepared = prepare(read(network.proto))
    except ModelError:  # such as a reference that is quantized itself
        return {}
    return _known(prepared, config)[1]


def _known(prepared: Prepared, config: Config) -> tuple[dict[str, ChannelStats], dict[str, Span]]:
    """Return what is known of the inputs, and the range that each is shown."""
    verdicts = tried(prepared, judge(prepared))
    known, _ = input_stats(prepared, config, verdicts=verdicts)
    ends = shown_ends(prepared, known, verdicts)
    return known, ends | integer_ends(prepared.model.graph)


def _real(network: Exposed, config: Config, stored: dict[str, Span], size: Extent) -> Shown:
    """Return the user's images, in the range that the float network expects of pixels."""
    prepared = prepare(read(network.proto))
    images = listed(Path(config.images or ""))
    found = shown(images, prepared.model.graph, order=config.input_order, size=size)
    known, ends = _known(prepared, config)
    return replace(found.scaled(known), others=ends | stored)


def _grid_range(name: str, network: Exposed) -> Span | None:
    """Return the ends of the grid on which a network stores its input."""
    behind = quantizer(name, network.graph)
    if behind is None:
        return None
    node, before = behind

    # the arrays of the quantizer, of what folds before it and of a clip behind it
    after = [n for n in network.graph.readers.get(node.output[0], ()) if n.op_type == "Clip"]
    wanted = {i for n in (node, *before, *after) for i in n.input}
    arrays = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in network.proto.graph.initializer
        if tensor.name in wanted
    }

    # real units from where integers end
    grid = [arrays[i] for i in node.input[1:] if i in arrays]
    if len(grid) < 2:
        return None
    scale, zero = (part.reshape(1, -1, 1, 1).astype(np.float64) for part in grid)
    bounds = [float(np.iinfo(grid[1].dtype).min), float(np.iinfo(grid[1].dtype).max)]
    for clip in after:
        bounds = [float(arrays[i]) for i in clip.input[1:] if i in arrays]
    for step in before:
        factors = [arrays[i] for i in step.input if i in arrays and step.op_type == "Mul"]
        scale = scale / factors[0] if factors else scale
    low, high = ((bound - zero) * scale for bound in bounds)
    return low, high
