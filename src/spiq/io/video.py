"""Frames of a video: which there are, by the time that each is shown, and the picture of one.

PyAV reads them, FFmpeg's libraries in a wheel: it lists the times of all frames without decoding
any, and says why a file cannot be read. OpenCV does not say that, and counts frames by what the
header estimates; imageio is a layer above either of them.

    times      those of the packets of the first video stream, sorted: the order of showing
    chosen     floor(k n / m), k = 0 .. m - 1, of n frames, m = min(n, MOST)
               without packets that are stored, but not shown: what is cut off a film
    picture    decode from the last key frame that is not after it, until its time is reached;
               from the start where it is missing then: frames need others before that key frame;
               in AVI, which has no times of showing, the k-th from the start;
               turned as the file says
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spiq.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})

MOST = 100
"""Frames of a video that are looked at; of more, as many evenly spread."""


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

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.path.name} frame {self.number}"


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
    except IndexError as error:
        raise VideoError(f"{path}: there are no pictures in it") from error
    except (OSError, ValueError, av.FFmpegError) as error:
        raise VideoError(f"{path}: cannot be read: {_reason(error)}") from error
    if not found:
        raise VideoError(f"{path}: there are no pictures in it")

    most = min(len(found), MOST)
    chosen = (k * len(found) // most for k in range(most))
    return [Frame(path, number, found[number]) for number in chosen]


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
        for seek in (True, False):
            with av.open(str(frame.path)) as opened:
                if (found := _found(opened, frame, seek=seek)) is not None:
                    return found
    except (OSError, ValueError, IndexError, av.FFmpegError) as error:
        raise VideoError(f"{frame.path}: cannot be decoded: {_reason(error)}") from error
    raise VideoError(f"{frame.path}: it ends before its frame {frame.number}")


def _found(opened: Any, frame: Frame, *, seek: bool) -> "Image.Image | None":
    """Decode from the key frame before a frame, or from the start; None: it is not there."""
    stream, counted = opened.streams.video[0], opened.format.name == "avi"
    if seek and counted:
        return None
    if seek:
        opened.seek(frame.time, stream=stream)
    for number, decoded in enumerate(opened.decode(stream)):
        time = _time(decoded)
        if number == frame.number if counted else time == frame.time:
            angle = getattr(decoded, "rotation", 0)  # PyAV 13 does not tell it
            image: Image.Image = decoded.to_image().rotate(angle, expand=True)
            return image
        if seek and time is not None and time > frame.time:
            return None
    return None


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
