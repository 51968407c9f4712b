"""What is kept from one call to the next, under the user's cache, by the hash of what made it.

The hash is over the very numbers that something comes from (ranges, statistics, pictures, the
weights where learning begins, ...) and over the source of this room and of the one that computes
its operators, so nothing old is taken up where anything is another. Files appear whole or not at
all, and two processes may write the same one. What was not used for longest goes when all of it is
larger than two gigabytes.
"""

import functools
import hashlib
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from spiq import emulation
from spiq.io.atomic import pending, tidy
from spiq.io.user_cache import user_cache
from spiq.runtime.opened import Arrays

_KIND = "reconstruct"

_LIMIT = 2 << 30
"""Bytes beyond which what was not used for longest goes."""

_RECENT = 24 * 3600.0
"""Seconds in which what was used stays, however large it is: work may be going on with it."""


def digest(*parts: object) -> str:
    """Return the hash of all that something depends on: tensors, arrays, and what ``repr`` tells.

    >>> digest("a", 1, torch.zeros(2)) == digest("a", 1, torch.zeros(2))
    True
    >>> digest(torch.zeros(2)) == digest(torch.zeros(3))
    False
    """
    made = hashlib.sha256(_method())
    for part in parts:
        if isinstance(part, torch.Tensor):
            part = part.detach().cpu().numpy()
        if isinstance(part, np.ndarray):
            made.update(f"{part.dtype} {part.shape}".encode())
            made.update(np.ascontiguousarray(part).data)
        else:
            made.update(repr(part).encode())
        made.update(b"\0")
    return made.hexdigest()[:32]


@functools.cache
def _method() -> bytes:
    """Return the hash of how things are made here: of the source of what makes them."""
    rooms = (Path(__file__).parent, Path(emulation.__file__).parent)
    sources = [source for room in rooms for source in sorted(room.rglob("*.py"))]
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).digest()


class Cache:
    """Files of arrays that one piece of work has come to.

    Attributes:
        folder: Where they are.
        trouble: Why something could not be written; None where all is.
    """

    def __init__(self, key: str) -> None:
        """Take the hash of all that the work depends on."""
        self.folder = user_cache(_KIND) / key
        self.trouble: str | None = None

    def load(self, name: str) -> Arrays | None:
        """Return the arrays of a file; None where there is none, or none that can be read."""
        try:
            with (self.folder / f"{name}.npz").open("rb") as file, np.load(file) as arrays:
                found = {key: arrays[key] for key in arrays.files}
        except (OSError, ValueError, EOFError, BadZipFile):
            return None
        with suppress(OSError):
            os.utime(self.folder)
        return found

    def save(self, name: str, arrays: Arrays) -> None:
        """Write a file, whole or not at all; where that fails, note why, and go on without."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tidy(self.folder)
            with pending(self.folder) as file:
                np.savez(file.stream, **arrays)  # type: ignore[arg-type]
                file.place(self.folder / f"{name}.npz")
        except OSError as error:
            self.trouble = f"{str(self.folder)!r} cannot be written: {error.strerror or error}"


def forget(limit: int = _LIMIT) -> None:
    """Remove what was not used for longest, until the rest is within a limit."""
    kept, now = 0, time.time()
    with suppress(OSError):
        for used, folder in sorted(
            ((f.stat().st_mtime, f) for f in user_cache(_KIND).iterdir()), reverse=True
        ):
            kept += sum(file.stat().st_size for file in folder.iterdir())
            if kept > limit and now - used > _RECENT:
                shutil.rmtree(folder, ignore_errors=True)
