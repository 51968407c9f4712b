"""Weights of large networks, read from their files when they are looked at.

The file is mapped into memory, so that its pages come when they are read, and go again: where more
than so many bytes are there that nobody looks at any longer, those that were left first are given
back. (They stay in the system's cache as long as there is room; reading them again is a matter of
milliseconds.) A file that changes meanwhile would change the network, so it must not.
"""

import mmap
import os
import weakref
from collections import Counter, OrderedDict
from pathlib import Path
from threading import RLock

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

_KEPT = 1 << 28
"""Bytes that stay in memory after they were looked at."""

_Span = tuple[int, int, int]
"""Number of a mapping, start and size."""

_looked_at: Counter[_Span] = Counter()
"""How many look at what."""

_left: OrderedDict[_Span, weakref.ref[mmap.mmap]] = OrderedDict()
"""What was looked at, and is by nobody now; it goes with its file."""

_lock = RLock()
"""Taken once more where an array dies while it is held."""

_files: weakref.WeakValueDictionary[tuple[int, ...], mmap.mmap] = weakref.WeakValueDictionary()
"""The files that are mapped: one descriptor for all tensors of each."""


def _look(span: _Span) -> None:
    """Note that somebody looks at these bytes."""
    with _lock:
        _looked_at[span] += 1
        _left.pop(span, None)


def _leave(opened: mmap.mmap, span: _Span) -> None:
    """Note that somebody does no longer, and give back what was left first."""
    with _lock:
        _looked_at[span] -= 1
        if _looked_at[span] > 0:
            return
        del _looked_at[span]
        _left[span] = weakref.ref(opened)
        while len(_left) > 1 and sum(size for _, _, size in _left) > _KEPT:
            (_, start, size), file = _left.popitem(last=False)
            if (still := file()) is not None:
                _give_back(still, start, size)


def _gone(number: int) -> None:
    """Note that a mapping is no more."""
    with _lock:
        for span in [span for span in _left if span[0] == number]:
            del _left[span]


def _give_back(opened: mmap.mmap, start: int, size: int) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):
        inside = -start % mmap.PAGESIZE  # pages that hold more than this tensor stay
        if size > inside + mmap.PAGESIZE:
            opened.madvise(mmap.MADV_DONTNEED, start + inside, size - inside)


def _mapped(path: Path) -> mmap.mmap:
    """Return a file in memory: the same for all who ask while somebody has it."""
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
        with _lock:
            opened = _files.get(key)
            if opened is None:
                opened = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                _files[key] = opened
                weakref.finalize(opened, _gone, id(opened)).atexit = False
    return opened


def mapped_tensor(path: Path, value: ir.ExternalTensor, name: str) -> ir.LazyTensor:
    """Return a tensor that is read from its file each time.

    Args:
        path: The file; it is as long as ``value`` says.
        value: What of it.
        name: Of the tensor.

    Raises:
        OSError: The file cannot be opened.
    """
    opened = _mapped(path)
    start, shape, kind = value.offset or 0, value.shape.numpy(), value.dtype.numpy()

    def read() -> ir.TensorProtocol:
        span = (id(opened), start, value.nbytes)
        _look(span)
        flat: npt.NDArray[np.generic] = np.frombuffer(opened, kind, int(np.prod(shape)), start)
        weakref.finalize(flat, _leave, opened, span).atexit = False
        array = np.require(flat.reshape(shape), requirements="A")  # as the runtime wants it
        return ir.Tensor(array, dtype=value.dtype, name=name)

    return ir.LazyTensor(read, dtype=value.dtype, shape=ir.Shape(shape), name=name)
