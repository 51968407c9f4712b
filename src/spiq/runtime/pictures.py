"""Pictures that need no data, of several kinds, with values from 0 to 1.

No one kind moves all channels of a trained network: features of text, of faces, of edges or of
even areas stay flat on any other. So the kinds take turns, in fixed proportion: picture number i is
of kind i modulo their number. Of single kinds, dead leaves (random occluding discs whose sizes
follow a power law: Lee, Mumford, Huang, "Occlusion Models for Natural Images", IJCV 2001) come
nearest to the moments that BatchNorm states, and mixed they come twice as near: over thirteen
networks the logarithm of a channel's variance scatters around the stated one by 0.4 to 0.9, where
dead leaves alone have 0.4 to 2.8 (docs/experiments.md).

To tell how well a network was quantized (:func:`soft_picture`), other pictures are drawn: of the
four kinds on which the error is nearest to that on real images, at twice the size and averaged,
since what is as sharp as its pixels, or as even as no photograph, brings up to 20 dB more error
than real images do.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.float32]
Draw = Callable[[np.random.Generator, int, int, int], Picture]
"""Draws a picture of some channels, height and width; a few values may lie outside 0 .. 1."""

_MEAN, _MEAN_SPREAD, _CONTRAST = 0.45, 0.12, 0.27
_COLOUR, _GRAIN = 0.06, 0.02
_DISCS = 120

_GLYPHS, _GLYPH, _CELL = 26, (7, 5), (10, 6)
"""How many letters there are, their size, and that of the cell that a letter stands in."""

_DOUBLED, _CANVAS = 640 * 640, 1280
"""Pixels that a picture has at most to be drawn at twice its size, and the longest side drawn:
of larger ones, parts repeat."""

_SOFT_CONTRAST = 0.8
"""Of soft pictures. With 1, ESPNet's expected SNR is 6 dB further off, and all else alike."""

_HEAD = (
    (-0.3, 0.0, 1.2, 0.95, "dark"), (0.0, 0.0, 1.1, 0.8, "skin"),
    (-0.25, -0.32, 0.09, 0.16, "white"), (-0.25, 0.32, 0.09, 0.16, "white"),
    (-0.25, -0.32, 0.08, 0.08, "dark"), (-0.25, 0.32, 0.08, 0.08, "dark"),
    (-0.45, -0.32, 0.05, 0.2, "dark"), (-0.45, 0.32, 0.05, 0.2, "dark"),
    (0.1, 0.0, 0.12, 0.1, "dark"), (0.5, 0.0, 0.1, 0.3, "dark"),
)  # fmt: skip
"""Ellipses of a head: place and half axes down and across, in radii of the head, and their tone:
hair, face, the white of the eyes, pupils, brows, nose, mouth."""


def picture(number: int, shape: tuple[int, int, int]) -> Picture:
    """Return a picture of (channels, height, width); the same for the same number.

    >>> picture(3, (3, 32, 32)).shape
    (3, 32, 32)
    """
    rng = np.random.default_rng([number, 7])
    channels, height, width = shape
    tall, wide = min(height, _CANVAS), min(width, _CANVAS)
    drawn = np.clip(KINDS[number % len(KINDS)](rng, channels, tall, wide), 0, 1).astype(np.float32)
    if (tall, wide) == (height, width):
        return drawn
    return _repeated(drawn, height, width)


def soft_picture(number: int, shape: tuple[int, int, int]) -> Picture:
    """Return a picture of (channels, height, width) that :func:`picture` never draws.

    >>> soft_picture(3, (3, 32, 32)).shape
    (3, 32, 32)
    """
    rng = np.random.default_rng([number, 11])
    channels, height, width = shape
    times = 2 if height * width <= _DOUBLED else 1
    tall, wide = (min(times * size, _CANVAS) for size in (height, width))
    drawn = np.clip(SOFT_KINDS[number % len(SOFT_KINDS)](rng, channels, tall, wide), 0, 1)

    blocks = _repeated(drawn, times * height, times * width)
    blocks = blocks.reshape(channels, height, times, width, times)
    averaged = blocks.mean(axis=(2, 4), dtype=np.float32)
    return np.asarray(0.5 + _SOFT_CONTRAST * (averaged - 0.5), np.float32)


def _repeated(drawn: Picture, height: int, width: int) -> Picture:
    """Return a larger picture, whose parts repeat: drawing takes its time."""
    y, x = np.arange(height) % drawn.shape[1], np.arange(width) % drawn.shape[2]
    return drawn[:, y[:, None], x]


def leaves(
    rng: np.random.Generator, channels: int, height: int, width: int, *,
    discs: int = _DISCS, size: float = 1.0, contrast: float = _CONTRAST, colour: float = _COLOUR,
) -> Picture:  # fmt: skip
    """Draw dead leaves: discs of 1/31 to 1 of ``size`` times half the picture, largest first."""
    light = rng.normal(_MEAN, _MEAN_SPREAD)
    image = np.full((channels, height, width), light, np.float32)
    radii = size * max(height, width) / 2 / (1 + 30 * rng.random(discs))
    for radius in np.sort(radii)[::-1]:
        centre = rng.uniform(0, height), rng.uniform(0, width)
        tone = rng.normal(light, contrast) + colour * rng.standard_normal(channels)
        _ellipse(image, centre, (radius, radius), tone)
    return _grained(rng, image)


def _small(rng: np.random.Generator, *shape: int) -> Picture:
    return leaves(rng, *shape, discs=3 * _DISCS, size=0.35)


def _large(rng: np.random.Generator, *shape: int) -> Picture:
    return leaves(rng, *shape, discs=_DISCS // 2, size=2.0)


def _coloured(rng: np.random.Generator, *shape: int) -> Picture:
    return leaves(rng, *shape, contrast=0.2, colour=0.2)


def _smooth(rng: np.random.Generator, channels: int, height: int, width: int) -> Picture:
    """Draw a slow change of light and colour: a few random tones, with straight lines between."""
    tones = rng.normal(_MEAN, _MEAN_SPREAD) + 0.2 * rng.standard_normal((1, 4, 4))
    tones = tones + 0.1 * rng.standard_normal((channels, 4, 4))
    down, across = (_between(size) for size in (height, width))
    return np.asarray(down @ tones @ across.T, np.float32)


def _between(size: int) -> npt.NDArray[np.float64]:
    """Return the weights of four points at each place of a line, shape (size, 4)."""
    places = np.linspace(0, 3, size)[:, None]
    return np.asarray(np.maximum(1 - np.abs(places - np.arange(4)), 0))


def _texture(rng: np.random.Generator, channels: int, height: int, width: int) -> Picture:
    """Draw noise whose spectrum falls with the frequency, as that of natural images does."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    fall = np.maximum(frequency, 1 / max(height, width)) ** -rng.uniform(0.9, 1.5)
    fall[0, 0] = 0
    noise = rng.standard_normal((channels + 1, height, width))
    noise = np.fft.irfft2(np.fft.rfft2(noise) * fall, (height, width))
    noise /= noise.std(axis=(1, 2), keepdims=True) + 1e-9
    light = rng.normal(_MEAN, _MEAN_SPREAD)
    return np.asarray(light + 0.22 * noise[:1] + 0.08 * noise[1:], np.float32)


def _edges(rng: np.random.Generator, channels: int, height: int, width: int) -> Picture:
    """Draw straight bands at any angle, some of them of stripes."""
    image = _smooth(rng, channels, height, width)
    y, x = np.ogrid[:height, :width]
    for _ in range(12):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.3, 1.2)
        along = (y * np.sin(angle) + x * np.cos(angle)) / max(height, width)
        half = np.exp(rng.uniform(np.log(0.005), np.log(0.15)))
        band = np.abs(along - offset) < half
        if rng.random() < 0.4:
            band &= np.sin(2 * np.pi * along / half * rng.uniform(0.5, 3)) > 0
        tone = rng.normal(_MEAN, 0.3) + 0.08 * rng.standard_normal(channels)
        image[:, band] = tone[:, None]
    return _grained(rng, image)


def _text(rng: np.random.Generator, channels: int, height: int, width: int) -> Picture:
    """Draw blocks of made-up letters, dark or light, some of them on a plate."""
    image = _smooth(rng, channels, height, width)
    for _ in range(rng.integers(3, 7)):
        block = _letters(rng, height, width)
        y, x = int(rng.uniform(-0.1, 0.9) * height), int(rng.uniform(-0.2, 0.7) * width)
        block = block[max(-y, 0) : height - y, max(-x, 0) : width - x]
        top, left = max(y, 0), max(x, 0)
        part = image[:, top : top + block.shape[0], left : left + block.shape[1]]
        if rng.random() < 0.5:
            part[:] = rng.random() + 0.1 * rng.standard_normal((channels, 1, 1))
        ink = rng.choice([0.02, 0.98]) + 0.1 * rng.standard_normal(channels)
        part[:, block] = ink[:, None]
    return _grained(rng, image)


def _letters(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return where there is ink in a few rows of letters, no more than a picture can hold."""
    alphabet = rng.random((_GLYPHS, *_GLYPH)) < 0.5
    rows, columns = int(rng.integers(1, 4)), int(rng.integers(4, 18))
    words = alphabet[rng.integers(_GLYPHS, size=(rows, columns))]
    words &= (rng.random((rows, columns)) > 0.15)[:, :, None, None]
    room = [(0, cell - glyph) for cell, glyph in zip(_CELL, _GLYPH, strict=True)]
    page = np.pad(words, [(0, 0), (0, 0), *room]).swapaxes(1, 2)
    size = max(1, int(max(height, width) * rng.uniform(0.004, 0.02)))
    flat = page.reshape(rows * _CELL[0], columns * _CELL[1])
    flat = flat[: 2 * height // size + 1, : 2 * width // size + 1]  # the rest lies outside
    return flat.repeat(size, axis=0).repeat(size, axis=1)


def _faces(rng: np.random.Generator, channels: int, height: int, width: int) -> Picture:
    """Draw heads of ellipses (hair, face, eyes, nose, mouth) of any size on dead leaves."""
    image = leaves(rng, channels, height, width, discs=_DISCS // 2)
    warm = np.linspace(1.15, 0.85, channels) if channels > 1 else np.ones(1)
    for _ in range(rng.integers(1, 6)):
        r = max(height, width) * np.exp(rng.uniform(np.log(0.03), np.log(0.35)))
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        skin = rng.uniform(0.35, 0.85) * (warm if rng.random() < 0.5 else warm[::-1])
        tones = {
            "skin": skin,
            "dark": skin * rng.uniform(0.1, 0.5),
            "white": np.full(channels, 0.9),
        }
        for down, across, tall, wide, name in _HEAD:
            _ellipse(image, (y + down * r, x + across * r), (tall * r, wide * r), tones[name])
    return _grained(rng, image)


def _ellipse(
    image: Picture,
    centre: tuple[float, float],
    radii: tuple[float, float],
    tone: npt.NDArray[np.float64],
) -> None:
    """Fill an ellipse of ``image``, where it is inside the picture."""
    rows, columns = (
        slice(max(int(at - radius), 0), max(int(at + radius) + 2, 0))
        for at, radius in zip(centre, radii, strict=True)
    )
    part = image[:, rows, columns]
    y = (np.arange(part.shape[1]) + rows.start - centre[0]) / radii[0]
    x = (np.arange(part.shape[2]) + columns.start - centre[1]) / radii[1]
    part[:, y[:, None] ** 2 + x**2 < 1] = tone[:, None]


def _grained(rng: np.random.Generator, image: Picture) -> Picture:
    image += _GRAIN * rng.standard_normal(image.shape, np.float32)
    return image


KINDS: tuple[Draw, ...] = (
    leaves, _edges, _text, _faces, _coloured, _texture, _large, _smooth, _small,
)  # fmt: skip

SOFT_KINDS: tuple[Draw, ...] = (_edges, _text, _faces, _texture)
