"""Unlabelled images: the files of a folder, or the rows of an array, one in memory at a time.

A folder holds image files, in it or in folders inside; Pillow decodes them. An ``.npz`` file holds
an array ``images``: bytes, (N, height, width, channels) or (N, height, width), are pixels as files
would hold them; floats are what the network takes, whatever that is. Rows are read from the file
as they are needed, and none is decoded that is not wanted.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spiq.errors import ConfigError
from spiq.io import video
from spiq.io.video import Frame, VideoError

if TYPE_CHECKING:
    from PIL import Image

Array = npt.NDArray[Any]

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

MOST = 1000
"""Images that are looked at; of more, as many evenly spread."""

UNREADABLE = (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile)
"""What reading an array leads to where a file is damaged."""

_KEY = "images"


class DecodingError(Exception):
    """A picture or a mask cannot be decoded; the message names the file."""


@dataclass(frozen=True)
class Stored:
    """An array in an ``.npz`` file, by what its header says."""

    shape: tuple[int, ...]
    columns_first: bool
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Images:
    """Some images.

    Attributes:
        path: The folder or the file.
        files: The files of a folder.
        stored: What the array is like, where it is one.
    """

    path: Path
    files: tuple[Path, ...] = ()
    stored: Stored | None = None

    @property
    def count(self) -> int:
        """How many there are to look at."""
        return min(self.available, MOST)

    @property
    def available(self) -> int:
        """How many there are."""
        return len(self.files) if self.stored is None else self.stored.shape[0]

    @property
    def as_fed(self) -> bool:
        """Whether they are floats, as the network takes them."""
        return self.stored is not None and self.stored.dtype.kind == "f"

    def said(self) -> str:
        """Say how many are looked at."""
        some = "" if self.count == self.available else f" of the {self.available}"
        return f"{self.count}{some} images of {self.path} were looked at"

    def each(self, mode: str) -> Iterator[tuple[str, Array]]:
        """Yield name and pixels, bytes of (height, width, channels), or floats as they are stored.

        Args:
            mode: Pillow's name of the channels of image files, ``RGB`` or ``L``.

        Raises:
            ConfigError: A file cannot be decoded, or Pillow is not installed.
        """
        if self.stored is not None:
            yield from self._rows(self.stored)
            return
        for number in self._chosen():
            file = self.files[number]
            try:
                pixels = np.asarray(open_picture(file, mode))
            except DecodingError as error:
                raise ConfigError(f"--images {error}: leave it out") from error
            yield file.name, pixels.reshape(*pixels.shape[:2], -1)

    def _chosen(self) -> list[int]:
        return [number * self.available // self.count for number in range(self.count)]

    def _rows(self, stored: Stored) -> Iterator[tuple[str, Array]]:
        chosen, size = set(self._chosen()), int(np.prod(stored.shape[1:])) * stored.dtype.itemsize
        try:
            with zipfile.ZipFile(self.path) as packed, packed.open(f"{_KEY}.npy") as stream:
                _header(stream)
                for number in range(self.available):
                    row = stream.read(size)
                    if number in chosen:
                        array = np.frombuffer(row, stored.dtype).reshape(stored.shape[1:])
                        yield f"image {number}", _with_channels(array)
        except UNREADABLE as error:
            raise ConfigError(f"--images {self.path}: not readable: {error}") from error


def _with_channels(array: Array) -> Array:
    return array[..., None] if array.dtype == np.uint8 and array.ndim == 2 else array


def listed(path: Path) -> Images:
    """Return the images of a folder or an ``.npz`` file; decodes none of them.

    Raises:
        ConfigError: There are none, or the array is of another kind.
    """
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not found:
            raise ConfigError(
                f"--images {path}: there are no image files in this folder "
                f"({', '.join(sorted(SUFFIXES))})"
            )
        pillow()
        return Images(path, tuple(found))
    return Images(path, stored=_checked(path))


def _checked(path: Path) -> Stored:
    try:
        stored = header(path, _KEY)
    except KeyError as error:
        raise ConfigError(f"--images {path}: it has no array {_KEY!r}, only {error.args[0]}") from (
            error
        )
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"--images {path}: neither a folder nor a readable .npz file: {reason}"
        ) from error
    pixels = stored.dtype == np.uint8 and len(stored.shape) in (3, 4)
    floats = stored.dtype.kind == "f" and len(stored.shape) >= 2
    if not (pixels or floats) or 0 in stored.shape or stored.columns_first:
        raise ConfigError(
            f"--images {path}: {_KEY!r} is {stored.dtype} {list(stored.shape)}: store pixels as "
            "uint8 (N, height, width, channels), or floats as the network takes them, row by row"
        )
    return stored


def header(path: Path, key: str) -> Stored:
    """Return what the array ``key`` of an ``.npz`` file is like; reads none of it.

    Raises:
        KeyError: There is no such array; its argument names those that there are.
        OSError, ValueError, ...: One of ``UNREADABLE``, where the file cannot be read.
    """
    with zipfile.ZipFile(path) as packed:
        names = [name.removesuffix(".npy") for name in packed.namelist()]
        if key not in names:
            raise KeyError(", ".join(names))
        with packed.open(f"{key}.npy") as stream:
            return _header(stream)


def _header(stream: IO[bytes]) -> Stored:
    form, old = np.lib.format, np.lib.format.read_magic(stream) == (1, 0)
    read = form.read_array_header_1_0 if old else form.read_array_header_2_0
    return Stored(*read(stream))


def open_picture(path: Path | Frame, mode: str | None = None) -> "Image.Image":
    """Decode a file, or a frame of a video; None keeps its mode.

    Raises:
        DecodingError: It cannot be decoded.
        ConfigError: Pillow is not installed, or what reads videos.
    """
    image = pillow()
    if isinstance(path, Frame):
        try:
            return video.picture(path).convert(mode or "RGB")
        except VideoError as error:
            raise DecodingError(str(error)) from error
    try:
        with image.open(path) as picture:
            picture.load()
            decoded: Image.Image = picture.convert(mode) if mode else picture.copy()
    except Exception as error:  # decoders fail with whatever a broken file leads them to
        raise DecodingError(f"{path}: cannot be decoded: {_reason(error)}") from error
    return decoded


def _reason(error: Exception) -> str:
    """Say what is the matter with a file, without its name once more."""
    known = type(error).__name__ == "UnidentifiedImageError"
    return "no picture" if known else str(getattr(error, "strerror", None) or error)


def upright(picture: "Image.Image") -> "Image.Image":
    """Return a decoded picture as its file says that it is to be shown (EXIF's orientation)."""
    turned = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    return picture if turned is None else picture.transpose(pillow().Transpose[turned])


_ORIENTATION = 0x0112

_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What brings a picture upright, by EXIF's orientation: https://exiftool.org/TagNames/EXIF.html"""


def resized(pixels: Array, height: int, width: int) -> Array:
    """Return pixels, bytes of (height, width, channels), in another size, aspect not kept.

    Raises:
        ConfigError: Pillow is not installed.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    image = pillow()
    planes = [
        np.asarray(image.fromarray(plane).resize((width, height), image.Resampling.BILINEAR))
        for plane in np.moveaxis(pixels, 2, 0)
    ]
    return np.stack(planes, axis=2)


def pillow() -> Any:
    """The module PIL.Image, imported when it is needed.

    Raises:
        ConfigError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ConfigError("pictures need Pillow: pip install 'spiq[tasks]'") from error
    return Image
