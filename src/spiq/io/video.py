"""Frames of a video: which there are, by the time that each is shown, and the picture of one.

PyAV reads them, FFmpeg's libraries in a wheel: it lists the times of all frames without decoding
any, and says why a file cannot be read. OpenCV does not say that, and counts frames by what the
header estimates; imageio is a layer above either of them.

    times      those of the packets of the first video stream, sorted: the order of showing
    chosen     floor(k n / m), k = 0 .. m - 1, of n frames, m = min(n, MOST)
               without packets that are stored, but not shown: what is cut off a film
    picture    decode from the last key frame that is not after it, until its time is reached;
               from the start where it is missing then: frames need others before that key frame;
               in AVI, which has no times of showing, the k-th from the start, or on from the frame
               that was decoded last, so that frames in order take one pass;
               turned as the file says
"""

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from spiq.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})

MOST = 100
"""Frames of a video that are looked at; of more, as many evenly spread."""


_COUNTED = "avi"
"""The format whose frames have no times of showing."""


class VideoError(Exception):
    """A video cannot be read; the message names it."""


@dataclass(frozen=True)
class Frame:
    """One frame of a video."""

    path: Path
    number: int
    """From 0, in the order in which frames are shown."""
    time: int
    """When it is shown, in the units of its stream."""
    problem: str = ""
    """Why its video, of which it is then the only one, cannot be read."""
    film: "Film | None" = field(default=None, compare=False, repr=False)
    """The video, open, which goes on from frame to frame; None: each is looked for from the start.
    It stays in its process."""

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.path.name} frame {self.number}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process without the open video."""
        return Frame, (self.path, self.number, self.time, self.problem)


@dataclass
class Film:
    """A video that is decoded frame by frame from the start, and goes on where it stopped."""

    path: Path
    _opened: Any = None
    _decoded: "Iterator[Any] | None" = None
    _next: int = 0
    _lock: Lock = field(default_factory=Lock)

    def picture(self, number: int) -> "Image.Image | None":
        """Decode the frame of a number; None: it ends before.

        Raises:
            OSError, ValueError, FFmpegError: It cannot be decoded.
        """
        with self._lock:
            if self._decoded is None or number < self._next:
                self._begin()
            for decoded in self._decoded or ():
                self._next += 1
                if self._next > number:
                    return _turned(decoded)
            self._decoded = None
            return None

    def _begin(self) -> None:
        if self._opened is not None:
            self._opened.close()
        self._opened = _library().open(str(self.path))
        self._decoded = self._opened.decode(self._opened.streams.video[0])
        self._next = 0


def frames(path: Path) -> list[Frame]:
    """Return the frames of a video that are looked at; decodes none of them.

    Raises:
        VideoError: It cannot be read, or has no frames.
        ConfigError: PyAV is not installed.
    """
    av = _library()
    try:
        with av.open(str(path)) as opened:
            packets = opened.demux(opened.streams.video[0])
            shown = (_time(packet) for packet in packets if not packet.is_discard)
            found = sorted(time for time in shown if time is not None)
            film = Film(path) if opened.format.name == _COUNTED else None
    except IndexError as error:
        raise VideoError(f"{path}: there are no pictures in it") from error
    except (OSError, ValueError, av.FFmpegError) as error:
        raise VideoError(f"{path}: cannot be read: {_reason(error)}") from error
    if not found:
        raise VideoError(f"{path}: there are no pictures in it")

    most = min(len(found), MOST)
    chosen = (k * len(found) // most for k in range(most))
    return [Frame(path, number, found[number], film=film) for number in chosen]


def picture(frame: Frame) -> "Image.Image":
    """Decode one frame.

    Raises:
        VideoError: It cannot be decoded.
        ConfigError: PyAV is not installed.
    """
    if frame.problem:
        raise VideoError(frame.problem)
    av = _library()
    try:
        if frame.film is not None and (found := frame.film.picture(frame.number)) is not None:
            return found
        for seek in (True, False):
            with av.open(str(frame.path)) as opened:
                if (found := _found(opened, frame, seek=seek)) is not None:
                    return found
    except (OSError, ValueError, IndexError, av.FFmpegError) as error:
        raise VideoError(f"{frame.path}: cannot be decoded: {_reason(error)}") from error
    raise VideoError(f"{frame.path}: it ends before its frame {frame.number}")


def _found(opened: Any, frame: Frame, *, seek: bool) -> "Image.Image | None":
    """Decode from the key frame before a frame, or from the start; None: it is not there."""
    stream, counted = opened.streams.video[0], opened.format.name == _COUNTED
    if seek and counted:
        return None
    if seek:
        opened.seek(frame.time, stream=stream)
    for number, decoded in enumerate(opened.decode(stream)):
        time = _time(decoded)
        if number == frame.number if counted else time == frame.time:
            return _turned(decoded)
        if seek and time is not None and time > frame.time:
            return None
    return None


def _turned(decoded: Any) -> "Image.Image":
    angle = getattr(decoded, "rotation", 0)  # PyAV 13 does not tell it
    image: Image.Image = decoded.to_image().rotate(angle, expand=True)
    return image


def _time(part: Any) -> int | None:
    """When a packet or a frame is shown; where it does not say, when it is decoded."""
    time: int | None = part.pts if part.pts is not None else part.dts
    return time


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _library() -> Any:
    try:
        import av
    except ImportError as error:
        raise ConfigError("videos need PyAV: pip install 'spiq[video]'") from error
    return av
