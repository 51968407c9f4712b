"""What storing a tensor does to it on synthetic pictures: the error of each channel, and its ends.

With sigma the channel's scale and s, z, qmin, qmax the grid's,

    x' = sigma s (clip(round(x / (sigma s)) + z, qmin, qmax) - z),      error = mean (x' - x)^2

of which clipping is what lies beyond the grid's ends. x is what the float network has there, so
this is the error that storing *adds*, without what comes from in front.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spiq.planning.plan.resolve import StoredTensor
from spiq.stats.channel import Array

_VALUES = 1 << 17
"""Numbers of one tensor and picture that are looked at; every so many are taken of larger ones."""

WIDER = (1.25, 1.5, 2.0, 3.0, 4.0)
"""By what ranges are widened to see whether that would do: all channels alike."""

_KEPT = 1 << 28
"""Bytes of errors that are kept to be added to the network again."""


@dataclass(frozen=True)
class Seen:
    """What was seen of one tensor, in its layout.

    Attributes:
        error: Mean squared error of each channel.
        clipping: The part of it beyond the ends of the grid.
        low, high: Least and greatest number.
        wider: The error with ranges so many times as wide, for each of WIDER.
    """

    error: Array
    clipping: Array
    low: Array
    high: Array
    wider: tuple[Array, ...]


@dataclass
class Watcher:
    """Looks at the tensors that a plan stores, one picture after the other.

    Attributes:
        stored: How they are stored, by name.
        inputs: Names of the network's inputs.
        pictures: The inputs of each picture.
        errors: What storing does to the tensors for each of them.
    """

    stored: Mapping[str, StoredTensor]
    inputs: Collection[str]
    pictures: list[dict[str, npt.NDArray[np.generic]]] = field(default_factory=list)
    errors: list[dict[str, npt.NDArray[np.float32]]] = field(default_factory=list)
    _found: dict[str, list[Seen]] = field(default_factory=dict)
    _bytes: int = 0

    def __call__(self, name: str, array: npt.NDArray[np.generic]) -> None:
        """Look at a tensor, if the plan stores it."""
        if name in self.inputs:
            if not self.pictures or name in self.pictures[-1]:  # the first input of another one
                self.pictures.append({})
                self.errors.append({})
            self.pictures[-1][name] = array
        how = self.stored.get(name)
        if how is None or not _fits(array.shape, how.layout):
            return
        self._found.setdefault(name, []).append(_looked_at(array, how))
        if self.errors and self._bytes + array.nbytes <= _KEPT:
            self._bytes += array.nbytes
            x = array.astype(np.float32)
            self.errors[-1][name] = _stored_as(x, how) - x

    def seen(self) -> dict[str, Seen]:
        """Return what was seen over all pictures, by tensor."""
        return {name: _together(each) for name, each in self._found.items()}


def _fits(shape: tuple[int, ...], layout: tuple[int, ...]) -> bool:
    return len(shape) == len(layout) and all(
        own in (1, size) for own, size in zip(layout, shape, strict=True)
    )


def _looked_at(array: npt.NDArray[np.generic], how: StoredTensor) -> Seen:
    x = _thinned(array, how.layout).astype(np.float32)
    axes = tuple(axis for axis, own in enumerate(how.layout) if own == 1)
    _, low, high = _grid(how)

    def squared(error: npt.NDArray[np.float32]) -> Array:
        means: Array = np.square(error).mean(axis=axes, keepdims=True, dtype=np.float64)
        return means

    low_seen, high_seen = (end(axis=axes, keepdims=True).astype(float) for end in (x.min, x.max))
    clipping = squared(x - np.clip(x, low, high))
    return Seen(
        error=squared(_stored_as(x, how) - x),
        clipping=clipping,
        low=low_seen,
        high=high_seen,
        wider=tuple(squared(_stored_as(x, how, by) - x) for by in WIDER) if clipping.any() else (),
    )


def _stored_as(
    x: npt.NDArray[np.float32], how: StoredTensor, wider: float = 1.0
) -> npt.NDArray[np.float32]:
    """Return what is read where x was stored, with ranges so many times as wide."""
    step, low, high = (np.float32(wider) * part for part in _grid(how))
    nearest: npt.NDArray[np.float32] = np.round(np.clip(x, low, high) / step) * step
    return nearest


def _grid(how: StoredTensor) -> tuple[npt.NDArray[np.float32], ...]:
    """Return the step of each channel and the ends of its grid, in real units."""
    grid = how.grid
    step = (np.reshape(how.channel_scale, how.layout) * grid.step).astype(np.float32)
    return step, (grid.qmin - grid.zero_point) * step, (grid.qmax - grid.zero_point) * step


def _thinned(array: npt.NDArray[np.generic], layout: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """Take every so many positions of a large tensor, along axes over which channels are alike."""
    every = int(np.ceil(np.sqrt(array.size / _VALUES)))
    axes = [i for i, own in enumerate(layout) if own == 1 and array.shape[i] > 2 * every][-2:]
    return array[tuple(slice(None, None, every if i in axes else 1) for i in range(array.ndim))]


def _together(each: list[Seen]) -> Seen:
    wider = [one.wider or (one.error,) * len(WIDER) for one in each]
    return Seen(
        error=np.mean([one.error for one in each], axis=0),
        clipping=np.mean([one.clipping for one in each], axis=0),
        low=np.min([one.low for one in each], axis=0),
        high=np.max([one.high for one in each], axis=0),
        wider=tuple(np.mean(errors, axis=0) for errors in zip(*wider, strict=True)),
    )
