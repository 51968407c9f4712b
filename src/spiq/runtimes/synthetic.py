"""Inputs that need no data: dead-leaves images in the range of a network's input.

Random occluding discs whose sizes follow a power law have the statistics of natural images
(Lee, Mumford, Huang: "Occlusion Models for Natural Images", IJCV 2001).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]


def dead_leaves(shape: Sequence[int], *, seed: int = 0, discs: int = 120) -> Images:
    """Return images of occluding discs with values from 0 to 1.

    Args:
        shape: (images, channels, height, width).
        seed: Of the random numbers.
        discs: Per image.
    """
    count, channels, height, width = shape
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:height, :width]
    images = np.empty(tuple(shape), np.float32)
    largest = max(height, width) / 2
    for image in images:
        image[:] = rng.random((channels, 1, 1))
        radii = largest * (1 + 30 * rng.random(discs)) ** -1.0
        for radius in np.sort(radii)[::-1]:
            inside = (y - rng.uniform(0, height)) ** 2 + (x - rng.uniform(0, width)) ** 2 < radius**2
            tone = np.clip(rng.random() + 0.15 * rng.standard_normal(channels), 0, 1)
            image[:, inside] = tone[:, None]
        image += 0.02 * rng.standard_normal(image.shape).astype(np.float32)
    return np.clip(images, 0, 1)
