"""Dead leaves in the numbers of a convention, by which conventions are tried."""

from math import prod

import numpy as np
import onnx_ir as ir

from spiq.graph.extents import Extent, is_one_picture
from spiq.graph.query import dims
from spiq.runtime.synthetic import Images, dead_leaves
from spiq.stats.channel import Array
from spiq.stats.input_axis import channel_axis

COUNT, _LARGE = 3, 1 << 19
"""How many pictures are shown; of so many pixels and more, one."""

_COLOURS = 3
"""Channels where their number is dynamic."""


def pictures(value: ir.Value, open_size: Extent, seed: int) -> Images:
    """Return pictures of values from 0 to 1, as an input has them.

    Args:
        value: The input.
        open_size: Height and width where it leaves them open.
        seed: Of the pictures.
    """
    shape, axis = dims(value) or [], channel_axis(value)
    if is_one_picture(shape):
        shape, axis = [1, *shape], 1
    sides = [size for index, size in enumerate(shape) if index not in (0, axis)]
    given = (*open_size[:1] * (len(sides) - 1), open_size[1])
    sizes = [side or size for side, size in zip(sides, given, strict=False)]
    channels = shape[axis] or _COLOURS
    *deep, height, width = sizes if len(sizes) > 1 else [1, *sizes]
    count = COUNT if prod(sizes) < _LARGE else 1
    flat = dead_leaves((count, channels, height, width), seed=seed)
    video = np.broadcast_to(
        flat.reshape(count, channels, *(1,) * len(deep), height, width),
        (count, channels, *deep, height, width),
    )
    plain = video if len(sizes) > 1 else video[:, :, 0]
    return np.ascontiguousarray(np.moveaxis(plain, 1, axis))


def scaled(ends: tuple[Array, Array], picture: Images, value: ir.Value) -> Images:
    """Return one picture, as a batch where there is one, in a convention's numbers.

    Args:
        ends: What black and white become, one number for all channels or one for each.
        picture: Of values from 0 to 1, without a batch.
        value: The input.
    """
    layout = np.ones(picture.ndim, int)
    layout[max(channel_axis(value) - 1, 0)] = -1
    low, width = (a.astype(picture.dtype).reshape(layout) for a in (ends[0], ends[1] - ends[0]))
    numbers = (low + width * picture)[None]
    kind = np.float32 if value.dtype is None else value.dtype.numpy()
    if is_one_picture(dims(value) or []):
        return np.asarray(numbers[0], kind)
    batch = (dims(value) or [1])[0] or 1
    return np.repeat(numbers, batch, axis=0).astype(kind)
