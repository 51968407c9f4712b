"""Weights of large networks, read from their files when they are looked at.

The file is mapped into memory, so that its pages come when they are read, and go again: as soon as
more than so many bytes have been looked at since, the oldest are given back. (They stay in the
system's cache as long as there is room; reading them again is a matter of milliseconds.) A file
that changes meanwhile would change the network, so it must not.
"""

import mmap
from collections import OrderedDict
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

_KEPT = 1 << 28
"""Bytes that stay in memory after they were looked at."""


_seen: OrderedDict[tuple[int, int, int], mmap.mmap] = OrderedDict()
"""What was looked at last, by number of the mapping, start and size."""

_lock = Lock()


def _look(opened: mmap.mmap, start: int, size: int) -> None:
    """Note that these bytes are looked at, and give the oldest ones back."""
    key = (id(opened), start, size)
    with _lock:
        _seen[key] = opened
        _seen.move_to_end(key)
        while len(_seen) > 1 and sum(one[2] for one in _seen) > _KEPT:
            (_, first, length), file = _seen.popitem(last=False)
            _give_back(file, first, length)


def _give_back(opened: mmap.mmap, start: int, size: int) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):
        inside = -start % mmap.PAGESIZE  # pages that hold more than this tensor stay
        if size > inside + mmap.PAGESIZE:
            opened.madvise(mmap.MADV_DONTNEED, start + inside, size - inside)


def mapped_tensor(path: Path, value: ir.ExternalTensor, name: str) -> ir.LazyTensor:
    """Return a tensor that is read from its file each time.

    Args:
        path: The file; it is as long as ``value`` says.
        value: What of it.
        name: Of the tensor.

    Raises:
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        opened = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start, shape, kind = value.offset or 0, value.shape.numpy(), value.dtype.numpy()

    def read() -> ir.TensorProtocol:
        _look(opened, start, value.nbytes)
        flat: npt.NDArray[np.generic] = np.frombuffer(opened, kind, int(np.prod(shape)), start)
        array = np.require(flat.reshape(shape), requirements="A")  # as the runtime wants it
        return ir.Tensor(array, dtype=value.dtype, name=name)

    return ir.LazyTensor(read, dtype=value.dtype, shape=ir.Shape(shape), name=name)
