"""Small videos, as tests need them: frame k is grey, of brightness 8 k."""

import struct
from pathlib import Path

import numpy as np
import pytest


def write(
    path: Path, *, frames: int, size: tuple[int, int] = (48, 64), between: int = 0, left: int = 0
) -> None:
    """Encode a video of (height, width).

    Args:
        between: Frames in a row that are stored by those before and after them (B-frames).
        left: How much darker the left half is.
    """
    av = pytest.importorskip("av", reason="needs PyAV: pip install 'spiq[video]'")
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = *size, "yuv420p", 8
        stream.options = {"bf": str(between)}
        for number in range(frames):
            pixels = np.full((*size, 3), 8 * number % 256, np.uint8)
            pixels[:, : size[1] // 2] -= np.uint8(left)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        out.mux(stream.encode())


def trim(path: Path, target: Path, *, frames: int) -> None:
    """Copy an MP4 so that its first frames are stored, but not shown."""
    import av

    with av.open(str(path)) as given, av.open(str(target), "w") as out:
        stream = given.streams.video[0]
        copied = out.add_stream_from_template(stream)
        for packet in given.demux(stream):
            if packet.dts is not None:
                packet.pts -= frames * packet.duration
                packet.dts -= frames * packet.duration
                packet.stream = copied
                out.mux(packet)


def turn(path: Path) -> None:
    """Have an MP4 be shown turned right by 90 degrees, as telephones write what is upright."""
    stored, upright = (
        path.read_bytes(),
        struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30),
    )
    assert stored.count(upright) == 2  # of the film and of its only track
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    first = stored.index(upright, stored.index(b"tkhd"))
    path.write_bytes(stored[:first] + turned + stored[first + len(turned) :])
