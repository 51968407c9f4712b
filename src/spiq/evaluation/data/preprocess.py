"""From stored pixels to the network's input: ``(pixel - mean) / std / divide_after``."""

import numpy as np
import numpy.typing as npt

from spiq.evaluation.cards.read import CHANNELS, Input


def to_input(images: npt.NDArray[np.uint8], spec: Input) -> npt.NDArray[np.float32]:
    """Turn ``images``, (N, height, width, channels), into float32 (N, channels, height, width).

    Channels are reordered first: ``mean`` and ``std`` are in the network's order.
    """
    ordered = images[..., list(CHANNELS[spec.channels])].transpose(0, 3, 1, 2)
    pixels = np.ascontiguousarray(ordered, dtype=np.float32)
    pixels -= np.array(spec.mean, dtype=np.float32).reshape(-1, 1, 1)
    pixels /= np.array(spec.std, dtype=np.float32).reshape(-1, 1, 1)
    pixels /= np.float32(spec.divide_after)
    return pixels


def to_pixels(inputs: npt.NDArray[np.float32], spec: Input) -> npt.NDArray[np.uint8]:
    """Return the pixels that became ``inputs``, for networks that take them as they are."""
    mean, std = (np.array(one, np.float32).reshape(-1, 1, 1) for one in (spec.mean, spec.std))
    pixels = np.rint(inputs * np.float32(spec.divide_after) * std + mean)
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


def input_range(spec: Input) -> tuple[tuple[float, float], ...]:
    """The values (low, high) that 8-bit pixels become, for each channel of the network's input."""
    return tuple(
        (-mean / std / spec.divide_after, (255.0 - mean) / std / spec.divide_after)
        for mean, std in zip(spec.mean, spec.std, strict=True)
    )
