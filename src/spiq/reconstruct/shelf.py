"""Where what is made of all pictures is put: in memory, or on disk if it is large."""

import os
import tempfile

import numpy as np
import torch

from spiq.errors import OutputError

_IN_MEMORY = 1 << 30
"""Bytes of one tensor for all pictures beyond which it is put on disk."""


def room(count: int, like: torch.Tensor) -> torch.Tensor:
    """Return room for as many pictures, each like a row of another tensor.

    On disk it is a file without a name in the folder for temporary files: it goes by itself,
    whatever ends the process.

    Raises:
        OutputError: The disk has no room for it.
    """
    shape, size = (count, *like.shape[1:]), like[:1].nbytes * count
    if like.device.type != "cpu" or size < _IN_MEMORY:
        return torch.empty(shape, dtype=like.dtype, device=like.device)
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            _claim(file.fileno(), size)
            array = np.memmap(file, like.numpy().dtype, "r+", shape=shape)
    except OSError as error:
        raise OutputError(
            f"what blocks read does not fit in memory, and {folder!r} has no room for "
            f"{size / 1e9:.1f} GB of it: {error.strerror or error}: free some, or name another "
            "folder in TMPDIR"
        ) from error
    return torch.from_numpy(array)


def _claim(number: int, size: int) -> None:
    """Make a file as large; where the disk is full, now, and not when it is written to."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(number, 0, size)
    else:
        os.truncate(number, size)
