"""Inputs that need no data: dead-leaves images in the range of a network's input.

Random occluding discs whose sizes follow a power law have the statistics of natural images
(Lee, Mumford, Huang: "Occlusion Models for Natural Images", IJCV 2001).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]

_MEAN, _MEAN_SPREAD, _CONTRAST = 0.45, 0.12, 0.27
_COLOUR, _GRAIN = 0.06, 0.02


def dead_leaves(shape: Sequence[int], *, seed: int = 0, discs: int = 120) -> Images:
    """Return images of occluding discs with values from 0 to 1.

    Args:
        shape: (images, channels, height, width).
        seed: Of the random numbers.
        discs: Per image.
    """
    channels, height, width = shape[1:]
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:height, :width]
    images = np.empty(tuple(shape), np.float32)
    for image in images:
        light = rng.normal(_MEAN, _MEAN_SPREAD)
        image[:] = light
        radii = max(height, width) / 2 / (1 + 30 * rng.random(discs))
        for radius in np.sort(radii)[::-1]:
            away = (y - rng.uniform(0, height)) ** 2 + (x - rng.uniform(0, width)) ** 2
            tone = rng.normal(light, _CONTRAST) + _COLOUR * rng.standard_normal(channels)
            image[:, away < radius**2] = tone[:, None]
        image += _GRAIN * rng.standard_normal(image.shape, np.float32)
    return np.clip(images, 0, 1)
