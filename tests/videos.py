"""Small videos, as tests need them: frame k is grey, of brightness 8 k."""

from pathlib import Path

import numpy as np
import pytest


def write(path: Path, *, frames: int, size: tuple[int, int] = (48, 64)) -> None:
    """Encode a video of (height, width)."""
    av = pytest.importorskip("av", reason="needs PyAV: pip install 'spiq[video]'")
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = *size, "yuv420p", 8
        for number in range(frames):
            pixels = np.full((*size, 3), 8 * number % 256, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        out.mux(stream.encode())
