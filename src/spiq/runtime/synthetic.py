"""Inputs that need no data: dead-leaves images in the range of a network's input.

Random occluding discs whose sizes follow a power law have the statistics of natural images
(Lee, Mumford, Huang: "Occlusion Models for Natural Images", IJCV 2001).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

Images = npt.NDArray[np.float32]
Tensors = dict[str, npt.NDArray[np.generic]]
Span = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Low and high end of a tensor, shaped to broadcast over it."""

_MEAN, _MEAN_SPREAD, _CONTRAST = 0.45, 0.12, 0.27
_COLOUR, _GRAIN = 0.06, 0.02

_CANVAS, _DRAWN = 1024, 64
"""Height and width that are drawn at most of larger images, and how many images."""

DYNAMIC_SIZE = 64
"""Of an input's height and width where they are not fixed."""

_PIXELS, _IMAGES = 224 * 224, 8
"""Images to a batch: as many as these pixels make, and no more than that."""


def dead_leaves(shape: Sequence[int], *, seed: int = 0, discs: int = 120) -> Images:
    """Return images of occluding discs with values from 0 to 1.

    Args:
        shape: (images, channels, height, width).
        seed: Of the random numbers.
        discs: Per image.
    """
    count, channels, height, width = shape
    if height * width > _CANVAS**2 or count > _DRAWN:  # then parts repeat: drawing takes its time
        small = (min(count, _DRAWN), channels, min(height, _CANVAS), min(width, _CANVAS))
        drawn = dead_leaves(small, seed=seed, discs=discs)
        image, y, x = (
            np.arange(size) % have
            for size, have in zip((count, height, width), drawn[:, 0].shape, strict=True)
        )
        return drawn[image[:, None, None], :, y[:, None], x].transpose(0, 3, 1, 2)
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:height, :width]
    images = np.empty(tuple(shape), np.float32)
    for image in images:
        light = rng.normal(_MEAN, _MEAN_SPREAD)
        image[:] = light
        radii = max(height, width) / 2 / (1 + 30 * rng.random(discs))
        for radius in np.sort(radii)[::-1]:
            down, across = rng.uniform(0, height), rng.uniform(0, width)
            rows, columns = _around(down, radius), _around(across, radius)
            away = (y[rows] - down) ** 2 + (x[:, columns] - across) ** 2
            tone = rng.normal(light, _CONTRAST) + _COLOUR * rng.standard_normal(channels)
            image[:, rows, columns][:, away < radius**2] = tone[:, None]
        image += _GRAIN * rng.standard_normal(image.shape, np.float32)
    return np.clip(images, 0, 1)


def _around(centre: float, radius: float) -> slice:
    """Return the whole numbers that are no further away, and perhaps one more at each end."""
    return slice(max(int(centre - radius), 0), int(centre + radius) + 2)


def synthetic_inputs(
    opened: ort.InferenceSession,
    ranges: Mapping[str, Span] | None = None,
    *,
    images: int | None = None,
    seed: int = 0,
) -> Tensors:
    """Return a batch of synthetic inputs for a network.

    Args:
        opened: The network.
        ranges: Range of each image input, by name; -2 to 2 where it is missing.
        images: How many; by default a few, fewer the larger they are.
        seed: Of the random numbers.
    """
    shapes = {
        node.name: [size if isinstance(size, int) else DYNAMIC_SIZE for size in node.shape]
        for node in opened.get_inputs()
    }
    pixels = max((int(np.prod(shape[2:])) for shape in shapes.values()), default=1)
    batch = images or int(np.clip(_PIXELS // max(pixels, 1), 1, _IMAGES))
    tensors: Tensors = {}
    for node in opened.get_inputs():
        shape = shapes[node.name]
        if shape and not isinstance(node.shape[0], int):
            shape[0] = batch
        if node.type in ("tensor(float)", "tensor(uint8)") and len(shape) == 4:
            low, high = (ranges or {}).get(node.name, (np.array(-2.0), np.array(2.0)))
            leaves = dead_leaves(shape, seed=seed)
            kind = np.float32 if node.type == "tensor(float)" else np.uint8
            tensors[node.name] = (low + (high - low) * leaves).astype(kind)
        elif node.type == "tensor(float)":
            rng = np.random.default_rng(seed)
            tensors[node.name] = rng.standard_normal(shape).astype(np.float32)
        else:
            tensors[node.name] = np.zeros(shape, _NUMPY.get(node.type, np.int64))
    return tensors


_NUMPY = {
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
}
