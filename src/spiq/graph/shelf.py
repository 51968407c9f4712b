"""Arrays that were made and are kept, but not in memory: the integers of a large network.

A weight that is rounded is a quarter of the one that it was made of, and all of them together would
be most of what a network of gigabytes takes in memory. So each goes to a file that has no name, and
is read from it when somebody looks; the file goes with the last that is kept in it: with the
network, and the call's result that holds it.

It lies in the folder for temporary files (``TMPDIR``). Where nobody named one and the system's is
memory, it is ``/var/tmp``, if that is none.
"""

import os
import tempfile
import weakref
from io import FileIO
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import psutil

from spiq.graph.lazy import Later


class Shelf:
    """Takes arrays, and gives each back as often as it is asked for."""

    def __init__(self) -> None:
        self._file: FileIO | None = None
        self._lock = Lock()

    def put(self, array: npt.NDArray[Any]) -> npt.NDArray[Any] | Later:
        """Put an array on the shelf; where the disk has no room, it stays in memory."""
        try:
            start = self._written(array)
        except OSError:
            return array
        kind, shape = array.dtype, array.shape

        def read() -> ir.TensorProtocol:
            return ir.Tensor(self._read(start, kind, shape))

        source = ir.LazyTensor(read, dtype=ir.DataType.from_numpy(kind), shape=ir.Shape(shape))
        return Later(source, lambda found: found, shape)

    def _written(self, array: npt.NDArray[Any]) -> int:
        with self._lock:
            if self._file is None:
                made = tempfile.TemporaryFile(prefix="spiq-", buffering=0, dir=folder())  # noqa: SIM115
                self._file = made  # open for longer
                weakref.finalize(self, self._file.close)
            start = self._file.seek(0, os.SEEK_END)
            left = _bytes(np.ascontiguousarray(array))
            while left:
                left = left[self._file.write(left) :]
        return start

    def _read(
        self, start: int, kind: np.dtype[np.generic], shape: tuple[int, ...]
    ) -> npt.NDArray[np.generic]:
        array = np.empty(shape, kind)
        with self._lock:
            assert self._file is not None
            self._file.seek(start)
            left = _bytes(array)
            while left:
                left = left[self._file.readinto(left) :]
        return array


def folder() -> str:
    """Return the folder for what is to be out of memory."""
    usual = tempfile.gettempdir()
    named = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    if named or not _is_memory(usual) or _is_memory(_ON_DISK) or not os.access(_ON_DISK, os.W_OK):
        return usual
    return _ON_DISK


_ON_DISK = "/var/tmp"
"""Temporary files that outlast a restart, by the Filesystem Hierarchy Standard."""


def _is_memory(path: str) -> bool:
    """Return whether files in a folder are kept in memory, as far as the system says."""
    own = os.path.realpath(path)
    above = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    while own not in above and own != os.path.dirname(own):
        own = os.path.dirname(own)
    return above.get(own) in ("ramfs", "tmpfs")


def _bytes(array: npt.NDArray[np.generic]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
