"""SQuant: flip roundings so that errors cancel.

Guo et al.: "SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian Approximation", ICLR
2022. All inputs under a kernel are taken as alike, so what counts is the sum of its errors, and so
on for the kernels of an output channel. With d = q - x,

* SQuant-K: a kernel whose errors sum to s gets round(|s|) of its entries moved by one against s,
  those with the largest error of that sign. Then |s| <= 1/2.
* SQuant-C: an output channel whose kernels' sums add up to s gets one entry moved in each of
  round(|s|) kernels, those with the largest sum of that sign. Then their sum is at most 1/2.

An entry that lies above x moves down and the other way round, so none leaves the range.
"""

import numpy as np
import numpy.typing as npt

from spiq.rewriting.feedback import Floats


def squant_integers(x: Floats, qmax: int) -> Floats:
    """Round kernels in steps, shape (..., channels, taps), none beyond ``qmax``."""
    integers = np.rint(x)
    np.clip(integers, -qmax, qmax, out=integers)
    if x.shape[-1] > 1:
        integers -= _flips(integers - x)
    error = integers - x
    sums = error.sum(axis=-1, dtype=np.float64)
    turned = _flips(sums)
    largest = (error * turned[..., None]).argmax(axis=-1)[..., None]
    moved = np.take_along_axis(integers, largest, axis=-1) - turned[..., None]
    np.put_along_axis(integers, largest, moved.astype(integers.dtype), axis=-1)
    return integers


def _flips(errors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return 1, 0 or -1 per entry: what to take off so that sums over the last axis vanish."""
    total = errors.sum(axis=-1, keepdims=True, dtype=np.float64)
    sign = np.sign(total).astype(errors.dtype)
    count = np.rint(np.abs(total))
    order = np.argsort(-errors * sign, axis=-1, kind="stable")
    first = np.arange(errors.shape[-1]) < count
    flips = np.zeros_like(errors)
    np.put_along_axis(flips, order, np.where(first, sign, 0), axis=-1)
    return flips
