"""Ways to round a weight, given in steps of its scale, to integers.

``nearest`` moves every entry by at most half a step. What counts is the layer's output, though:
the taps of one kernel see neighbouring pixels, which are alike, so errors of the same sign add up.
``moment`` minimizes the expected error of each kernel, e^T R e with R the correlation of the
pixels under its taps, by error feedback: the taps are rounded one after the other, and the error
of each is made up for by those that follow. That is the closed form of GPTQ (Frantar et al.:
"GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023),
whose Hessian is here not measured on data but known: channels are uncorrelated, and two pixels of
a channel at distance d are correlated by 0.9^d, as in natural images. Kernels of one tap are
rounded to nearest.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float32]
Rounding = Callable[[Weights, tuple[int, ...], int], Weights]
"""Takes kernels in steps, shape (..., K), the kernel's shape and the largest integer."""

PIXEL_CORRELATION = 0.9


def nearest(steps: Weights, kernel: tuple[int, ...], qmax: int) -> Weights:
    """Round every entry to the nearest integer."""
    rounded = np.rint(steps)
    return np.clip(rounded, -qmax, qmax, out=rounded)


def moment(steps: Weights, kernel: tuple[int, ...], qmax: int) -> Weights:
    """Round the taps of each kernel in turn, each making up for the errors before it."""
    if steps.shape[-1] == 1:
        return nearest(steps, kernel, qmax)
    feedback = _feedback(kernel).astype(steps.dtype)
    left = np.moveaxis(steps, -1, 0).copy()
    for tap, weights in enumerate(left):
        wanted = weights.copy()
        nearest_to = np.rint(wanted)
        np.clip(nearest_to, -qmax, qmax, out=weights)
        error = wanted - weights
        for later in range(tap + 1, len(left)):
            left[later] -= feedback[tap, later] * error
    return np.moveaxis(left, 0, -1)


def _feedback(kernel: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return U[k, j] / U[k, k] with U^T U = R^-1: what tap j makes up for an error of tap k."""
    places = np.stack(np.meshgrid(*map(np.arange, kernel), indexing="ij"), -1)
    places = places.reshape(-1, len(kernel))
    distance = np.sqrt(np.square(places[:, None] - places).sum(axis=-1))
    upper = np.linalg.cholesky(np.linalg.inv(PIXEL_CORRELATION**distance)).T
    return upper / np.diag(upper)[:, None]


ROUNDINGS: dict[str, Rounding] = {"nearest": nearest, "moment": moment}
"""The roundings that a plan may name."""
