"""Images of the user's as the network takes them, one at a time.

Pixels are given the range of the input, be it told or inferred: 0 becomes its low end and 255 its
high end, channel by channel. Floats are fed as they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.errors import ConfigError
from spiq.graph.extents import Extent
from spiq.graph.query import dims, holds_floats
from spiq.io.images import Images, resized
from spiq.runtime.opened import Opened, Tensors
from spiq.runtime.synthetic import Span, synthetic_inputs
from spiq.stats.channel import ChannelStats, stats
from spiq.stats.input_axis import channel_axis
from spiq.stats.inputs.given import Told
from spiq.stats.observed import Expected, Seen
from spiq.stats.sharpened import sharpened

Array = npt.NDArray[np.generic]

_MARGIN = 0.02
"""Share of the range of some images by which those to come may go beyond it."""

_LIGHT, _CONTRAST = 0.2, 0.25
"""How much images differ: variance of their means over that of pixels, and spread of the logarithm
of their deviation (:mod:`spiq.runtime.pictures` draws them so)."""

_MODES = {1: "L", 4: "RGBA"}
"""Pillow's names for numbers of channels; others are taken as RGB."""


@dataclass(frozen=True)
class Shown:
    """Some images and the input that takes them.

    Attributes:
        images: The images.
        name: Name of the input.
        shape: Its sizes; None where they are not fixed.
        axis: That of its channels.
        is_bytes: Whether it takes bytes.
        order: ``RGB`` or ``BGR``.
        size: Height and width where they are not fixed.
        ends: The numbers that 0 and 255 become, to broadcast over the input.
        others: Ends of what other inputs are shown, by name.
    """

    images: Images
    name: str
    shape: tuple[int | None, ...]
    axis: int
    is_bytes: bool
    order: str
    size: Extent
    ends: Span = (np.array(-2.0), np.array(2.0))
    others: Mapping[str, Span] = field(default_factory=dict)

    def own_range(self) -> dict[str, Told]:
        """Return what floats say of the input, by its name: their extremes are its range."""
        if not self.images.as_fed:
            return {}
        seen, low, high = self._seen()
        margin = _MARGIN * (high - low).max()
        mean, var = seen.mean.mean(axis=0), seen.var.mean(axis=0) + seen.mean.var(axis=0)
        low, high = low - margin, high + margin
        note = f"range {low.min():.4g} to {high.max():.4g}, that of the {self.images.count} images"
        return {self.name: (stats(mean, var, low, high, "input"), note)}

    def sharpened_input(
        self, inputs: Mapping[str, ChannelStats]
    ) -> tuple[dict[str, ChannelStats], list[str]]:
        """Return what is known of inputs with the moments of the images, and what is wrong."""
        known = inputs.get(self.name)
        if known is None:
            return dict(inputs), []
        seen, low, high = self._seen()
        whole = [1] * len(self.shape)
        whole[self.axis] = seen.mean.shape[1]
        mean, var, least, most = (
            np.broadcast_to(array, whole).reshape(-1)
            for array in (known.mean, known.var, known.low, known.high)
        )
        off, tau = _LIGHT * var, np.full(mean.shape, _CONTRAST)
        known_so_far = Expected(mean, var + off, off, tau, off, 4 * tau**2, "input")
        found = sharpened(known_so_far, seen)
        mean, var, low_end, high_end = (
            array.reshape(whole) for array in (found.mean, found.var, least, most)
        )
        result = stats(mean, var, low_end, high_end, known.source)
        doubts = []
        if (np.maximum(least - low, high - most) > _MARGIN * (most - least)).any():
            doubts = [
                f"--images {self.images.path}: values from {low.min():.4g} to {high.max():.4g} are "
                f"outside the range of input '{self.name}', {least.min():.4g} to {most.max():.4g}: "
                "check --input-range"
            ]
        return {**inputs, self.name: result}, doubts

    def _seen(self) -> tuple[Seen, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the moments of each image, and the least and largest value of each channel."""
        found = []
        for array in self.arrays():
            rows = np.moveaxis(array, self.axis, 0).reshape(array.shape[self.axis], -1)
            found.append(
                [rows.mean(1, np.float64), rows.var(1, np.float64), rows.min(1), rows.max(1)]
            )
        mean, var, low, high = (np.array(one) for one in zip(*found, strict=True))
        return Seen(mean, var), low.min(axis=0), high.max(axis=0)

    def scaled(self, inputs: Mapping[str, ChannelStats]) -> "Shown":
        """Return the images in the range of the input."""
        known = inputs.get(self.name)
        return self if known is None else replace(self, ends=(known.low, known.high))

    def arrays(self) -> Iterator[Array]:
        """Yield what the input takes, image by image.

        Raises:
            ConfigError: An image cannot be read, or is of another form than the input.
        """
        channels = self.shape[self.axis]
        for name, image in self.images.each(_MODES.get(channels or 3, "RGB")):
            fed = image[None] if self.images.as_fed else self._from_pixels(name, image)
            fits = zip(fed.shape[1:], self.shape[1:], strict=False)
            if fed.ndim != len(self.shape) or any(b not in (None, a) for a, b in fits):
                raise ConfigError(
                    f"--images {self.images.path}, {name}: {list(fed.shape[1:])} do not fit input "
                    f"'{self.name}', which takes {[size or '?' for size in self.shape[1:]]}"
                )
            yield np.repeat(fed, self.shape[0] or 1, axis=0)

    def _from_pixels(self, name: str, pixels: Array) -> Array:
        if len(self.shape) != 4:
            raise ConfigError(
                f"--images {self.images.path}: input '{self.name}' takes no pictures: give an "
                "array of floats as the network takes them"
            )
        height, width = (n for k, n in enumerate(self.shape) if k not in (0, self.axis))
        sized = resized(pixels, height or self.size[0], width or self.size[1])
        ordered = sized[..., ::-1] if self.order == "BGR" else sized
        laid_out = ordered[None] if self.axis == 3 else ordered.transpose(2, 0, 1)[None]
        if self.is_bytes:
            return laid_out
        low, high = self.ends
        if low.size not in (1, laid_out.shape[self.axis]):
            return laid_out  # refused by its shape
        return np.asarray(low + (high - low) / 255 * laid_out, np.float32)

    def feeds(self, opened: Opened, most: int | None = None) -> Iterator[Tensors]:
        """Yield the inputs of a network, one image at a time; other inputs get what they may.

        Args:
            opened: The network.
            most: How many at most; None for all.
        """
        others = synthetic_inputs(opened, self.others, images=1, size=self.size)
        for array in islice(self.arrays(), most):
            yield others | {self.name: array.astype(others[self.name].dtype)}


def shown(images: Images, graph: ir.Graph, *, order: str, size: Extent) -> Shown:
    """Return the images with the input that is to take them.

    Args:
        images: The images.
        graph: The network.
        order: ``RGB`` or ``BGR``, of the input's channels.
        size: Height and width where they are not fixed.

    Raises:
        ConfigError: There is no input that can take images.
    """
    fitting = [
        value
        for value in graph.inputs
        if (holds_floats(value) or value.dtype == ir.DataType.UINT8)
        and len(dims(value) or ()) >= (2 if images.as_fed else 4)
    ]
    if not fitting:
        raise ConfigError(f"--images {images.path}: the network has no input that takes pictures")
    value = max(fitting, key=lambda one: len(dims(one) or ()) == 4)
    return Shown(
        images,
        str(value.name),
        tuple(dims(value) or ()),
        channel_axis(value),
        value.dtype == ir.DataType.UINT8,
        order,
        size,
    )
