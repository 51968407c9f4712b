"""Rounding against a second-moment matrix: error feedback, and going over it again.

With x the rows in steps, q integers, e = x - q and S = A x T (a Kronecker product over channels c
and taps k), wanted are q with small e^T S e. S = L L^T, L lower, is L_A x L_T, and

    e^T S e = sum_i L_ii^2 (e_i + sum_{j > i} L_ji / L_ii e_j)^2.

:func:`feedback` decides from the last weight to the first, each so that its term is least (Babai's
nearest plane; GPTQ is the same with the order turned around). A channel's error reaches the
channels before it as the K numbers f_k = sum_{l >= k} L_T[l,k] / L_T[k,k] e_l, so nothing of the
size of S is ever built. :func:`refine` goes through the weights and sets each to the best integer
given all others, q_i - g_i / S_ii with g = S (q - x).

Arrays have the shape (g, C, K, O): groups, channels, taps, output channels of a group. Channels are
taken in blocks: within one, sums over what was decided are products of small matrices; what a block
does to all others is one large product.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_BLOCK = 32
_PASSES = 2

_MOST_WORK = 1 << 26
"""Products per pass beyond which it takes longer than it is worth."""


@dataclass(frozen=True)
class Metric:
    """S = A x T and its Cholesky factors.

    Attributes:
        between: A, symmetric and positive, shape (g, C, C) or (1, C, C).
        taps: T, the same, shape (g, K, K) or (1, K, K).
    """

    between: Floats
    taps: Floats

    @cached_property
    def lower(self) -> tuple[Floats, Floats]:
        """L_A and L_T."""
        return np.linalg.cholesky(self.between), np.linalg.cholesky(self.taps)

    @cached_property
    def pull(self) -> tuple[Floats, Floats]:
        """L[j,i] / L[i,i] of both."""
        first, second = (
            factor / np.einsum("...ii->...i", factor)[:, None, :] for factor in self.lower
        )
        return first, second

    @property
    def residual(self) -> Floats:
        """L_ii^2 of each weight, shape (g, C, K): what of its error nothing can make up for."""
        a, t = (np.square(np.einsum("...ii->...i", factor)) for factor in self.lower)
        product: Floats = a[:, :, None] * t[:, None]
        return product

    def times(self, x: Floats) -> Floats:
        """Return S x."""
        mixed = (self.between @ x.reshape(len(x), x.shape[1], -1)).reshape(x.shape)
        taps = self.taps[:, None]
        product: Floats = mixed * taps if x.shape[2] == 1 else taps @ mixed
        return product


def feedback(x: Floats, metric: Metric, qmax: int) -> Floats:
    """Round ``x``, each weight making up for the errors of those after it.

    Args:
        x: Rows in steps, shape (g, C, K, O).
        metric: S.
        qmax: Largest integer.
    """
    groups, channels, size, outputs = x.shape
    pull_in, pull_taps = (_broadcast(factor, groups) for factor in metric.pull)
    turned = np.ascontiguousarray(pull_in.swapaxes(1, 2))
    error, x = np.empty_like(x[:, 0]), np.ascontiguousarray(x)
    integers = np.empty_like(x)
    reach, pulled = (np.empty_like(x), x.copy()) if channels > 1 else (x, x)  # none to be reached
    for end in range(channels, 0, -_BLOCK):
        start = max(end - _BLOCK, 0)
        for c in range(end - 1, start - 1, -1):
            wanted = pulled[:, c]
            if c + 1 < end:
                wanted = wanted + _summed(turned[:, c, c + 1 : end], reach[:, c + 1 : end])
            _round_taps(x[:, c], wanted, pull_taps, qmax, integers[:, c], error)
            if channels > 1:
                reach[:, c] = error if size == 1 else pull_taps.swapaxes(1, 2) @ error
        if start:
            done = reach[:, start:end].reshape(groups, end - start, -1)
            pulled[:, :start] += (turned[:, :start, start:end] @ done).reshape(
                groups, start, size, outputs
            )
    return integers


def _round_taps(
    x: Floats, wanted: Floats, pull: Floats, qmax: int, integers: Floats, error: Floats
) -> None:
    """Round the taps of one channel, shape (g, K, O); write them, and x minus them, the error."""
    for k in range(x.shape[1] - 1, -1, -1):
        target = wanted[:, k]
        if k + 1 < x.shape[1]:
            target = target + (pull[:, None, k + 1 :, k] @ error[:, k + 1 :])[:, 0]
        decided = np.rint(target, out=integers[:, k])
        np.minimum(decided, qmax, out=decided)
        np.maximum(decided, -qmax, out=decided)
        np.subtract(x[:, k], decided, out=error[:, k])


def refine(x: Floats, integers: Floats, metric: Metric, qmax: int) -> tuple[Floats, Floats]:
    """Set each weight to the best integer given all others, a few times over.

    Returns:
        The integers q, and S (q - x).
    """
    groups, channels, size, outputs = x.shape
    a, t = (_broadcast(factor, groups) for factor in (metric.between, metric.taps))
    slope = metric.times(integers - x)
    if x.size * channels > _MOST_WORK:
        return integers, slope

    integers = integers.copy()
    for _ in range(_PASSES):
        changed = False
        for start in range(0, channels, _BLOCK):
            end = min(start + _BLOCK, channels)
            reach = np.zeros((groups, end - start, size, outputs), x.dtype)
            for c in range(start, end):
                own = slope[:, c]
                if c > start:
                    own = own + _summed(a[:, c, start:c], reach[:, : c - start])
                moves = _move_taps(integers[:, c], own, a[:, c, c], t, qmax)
                reach[:, c - start] = moves * t if size == 1 else t @ moves

            # what the block has changed reaches all other channels
            if reach.any():
                changed = True
                flat = reach.reshape(groups, end - start, -1)
                slope += (a[:, :, start:end] @ flat).reshape(slope.shape)
        if not changed:
            break
    return integers, slope


def _move_taps(integers: Floats, slope: Floats, power: Floats, taps: Floats, qmax: int) -> Floats:
    """Move the integers of one channel, shape (g, K, O), in place; return by how much."""
    moves = np.zeros_like(integers)
    for k in range(integers.shape[1]):
        own = slope[:, k] / power[:, None]
        if k:
            own = own + (taps[:, None, k, :k] @ moves[:, :k])[:, 0]
        target = integers[:, k] - own / taps[:, k, k][:, None]
        np.rint(target, out=target)
        np.minimum(target, qmax, out=target)
        np.maximum(target, -qmax, out=target)
        np.subtract(target, integers[:, k], out=moves[:, k])
        integers[:, k] = target
    return moves


def _summed(factors: Floats, reach: Floats) -> Floats:
    """Sum over channels: (g, n) times (g, n, K, O) to (g, K, O)."""
    groups, count, size, outputs = reach.shape
    flat = reach.reshape(groups, count, size * outputs)
    return (factors[:, None] @ flat).reshape(groups, size, outputs)


def _broadcast(matrices: Floats, groups: int) -> Floats:
    return np.broadcast_to(matrices, (groups, *matrices.shape[1:]))
