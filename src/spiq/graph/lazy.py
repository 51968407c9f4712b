"""Weights that are worked out when they are read, and not kept: those of large networks.

A network of gigabytes is read from a mapped file (:mod:`spiq.io.weight_tensors`). What passes make
of such a weight (rows multiplied, a matrix turned) would be a copy of all of it in memory; so it is
written down as what it comes from and how, and made anew each time that somebody asks. The one that
was made last is kept, since whoever looks at a layer does so several times.

Weights of other networks are arrays, and what is made of them is made at once.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.graph.query import constant

Weight = npt.NDArray[np.generic]
Change = Callable[[Weight], Weight]


@dataclass(frozen=True)
class Later:
    """A weight that is made when it is read.

    Attributes:
        source: What it is made of.
        change: How.
        shape: What it will have.
    """

    source: ir.TensorProtocol
    change: Change
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The type that it will have: that of its source."""
        kind: np.dtype[np.generic] = self.source.dtype.numpy()
        return kind

    def tensor(self, name: str) -> ir.LazyTensor:
        """Return it as what an initializer holds; of the type that its source has."""
        made = _Made(self)
        return ir.LazyTensor(
            lambda: ir.Tensor(made.array(), name=name),
            dtype=self.source.dtype,
            shape=ir.Shape(self.shape),
            name=name,
        )


def changed(value: ir.Value | None, change: Change, shape: Sequence[int]) -> "Weight | Later":
    """Return what ``change`` makes of a constant: at once, or later where the constant is lazy.

    Args:
        value: The constant.
        change: Makes it a new array; must not depend on what changes meanwhile.
        shape: That of the new array.
    """
    array = constant(value) if not is_lazy(value) else None
    if array is not None:
        return change(array)
    assert value is not None and value.const_value is not None
    return Later(value.const_value, change, tuple(shape))


LARGE = 1 << 30
"""Bytes of weights beside a network from which on they are lazy."""


def is_large(size: int) -> bool:
    """Return whether a network of so many bytes of weights is worked on piece by piece."""
    return size >= LARGE


def is_lazy(value: ir.Value | None) -> bool:
    """Return whether a constant is read from its file, or worked out, each time."""
    return value is not None and isinstance(value.const_value, ir.LazyTensor)


class _Made:
    """What is made of a :class:`Later`; the last one made is kept, as long as somebody has it."""

    _last: "Callable[[], _Made | None]" = staticmethod(lambda: None)
    _lock = Lock()

    def __init__(self, later: Later) -> None:
        self._later = later
        self._kept: Weight | None = None

    def array(self) -> Weight:
        with _Made._lock:
            kept = self._kept
        if kept is not None:
            return kept
        forget()  # before the next one takes its place in memory
        array = np.require(self._later.change(self._later.source.numpy()), requirements="C")
        array.flags.writeable = False
        with _Made._lock:
            forget()
            self._kept, _Made._last = array, weakref.ref(self)
        return array


def forget() -> None:
    """Let go of the weight that was made last."""
    last = _Made._last()
    if last is not None:
        last._kept = None
