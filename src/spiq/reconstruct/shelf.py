"""Where what is made of all pictures is put, and what is kept from one call to the next."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch

_IN_MEMORY = 1 << 30
"""Bytes of one tensor for all pictures beyond which it is put on disk."""


class Shelf:
    """Rooms for tensors, one row per picture: in memory, or on disk if they are large."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that files are made in; they have no name there and go by themselves."""
        self.folder = folder

    def room(self, count: int, like: torch.Tensor) -> torch.Tensor:
        """Return room for as many pictures, each like a row of another tensor."""
        shape = (count, *like.shape[1:])
        if like.device.type != "cpu" or like[:1].nbytes * count < _IN_MEMORY:
            return torch.empty(shape, dtype=like.dtype, device=like.device)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            file.truncate(like[:1].nbytes * count)
            array = np.memmap(file, like.numpy().dtype, "r+", shape=shape)
        return torch.from_numpy(array)


class Cache:
    """Files of arrays that one piece of work has come to, under the user's cache."""

    def __init__(self, key: str) -> None:
        """Take the hash of all that the work depends on."""
        self.folder = _home() / "reconstruct" / key

    def load(self, name: str) -> Mapping[str, npt.NDArray[np.generic]] | None:
        """Return the arrays of a file; None where there is none, or none that can be read."""
        try:
            with (self.folder / f"{name}.npz").open("rb") as file, np.load(file) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except (OSError, ValueError, EOFError, BadZipFile):
            return None

    def save(self, name: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Write a file, whole or not at all; nothing where the cache cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(dir=self.folder, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            os.replace(path, self.folder / f"{name}.npz")
        except OSError:
            return


def _home() -> Path:
    given = os.environ.get("XDG_CACHE_HOME")
    return Path(given or os.path.expanduser("~/.cache")) / "spiq"
