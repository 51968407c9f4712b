"""What two forms of a network are shown to be compared: synthetic pictures, or the user's images.

Pictures fill the range that the quantized network stores, or else what the float one expects,
unless the options say what the inputs are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import numpy_helper

from spiq.analysis import Inputs, inputs_of
from spiq.config import Config
from spiq.errors import ModelError
from spiq.inspection.counterparts import quantizer
from spiq.inspection.exposed import Exposed
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.runtime.opened import Tensors
from spiq.runtime.sizes import sizes_for, small_size
from spiq.runtime.synthetic import Span, synthetic_inputs

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
    stored = _stored(first, second, config)
    told = None
    if _says_something(config) or len(stored) < len(first.inputs):
        told = _told(first, config)
    ends = (told.ends if told is not None else {}) | stored
    if told is not None and told.images is not None:
        yield from replace(told.images, others=ends).feeds(strict.session)
        return
    size = config.extent or small_size(strict.session)
    for seed in range(images):
        yield synthetic_inputs(strict.session, ends, seed=seed, size=size)


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


def _says_something(config: Config) -> bool:
    return config.images is not None or config.own.given or bool(config.inputs)


def _told(network: Exposed, config: Config) -> Inputs | None:
    """Return what the float network and the options say of the inputs; None where nothing can."""
    try:
        prepared = prepare(read(network.proto))
    except ModelError:  # such as a reference that is quantized itself
        if _says_something(config):
            raise
        return None
    return inputs_of(prepared, config, sizes_for(prepared.model, config.extent))


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
