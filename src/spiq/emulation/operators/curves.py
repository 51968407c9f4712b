"""Sigmoid and Tanh, to the last bit of what ONNX Runtime computes.

    tanh x       = x P(x^2) / Q(x^2),          |x| up to 9
    sigmoid x    = x P(x^2) / Q(x^2) + 1/2,    |x| up to 18

by the coefficients of its ``mlas/lib/tanh.cpp`` and ``logistic.cpp``, with Horner's steps rounded
once each, as a fused multiply-add rounds. The last bits decide where a number lies that is half way
between two steps of a grid, and PyTorch's own functions differ in two of three numbers.
"""

from collections.abc import Sequence

import numpy as np
import torch


def _single(*numbers: float) -> tuple[float, ...]:
    return tuple(float(np.float32(number)) for number in numbers)


_TANH = (
    _single(-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11,
            5.12229709037114e-08, 1.48572235717979e-05, 6.37261928875436e-04,
            4.89352455891786e-03),
    _single(1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03,
            4.89352518554385e-03),
)  # fmt: skip
_SIGMOID = (
    _single(4.37031012579801e-11, 1.15627324459942e-07, 6.08574864600143e-05,
            8.51377133304701e-03, 2.48287947061529e-01),
    _single(6.10247389755681e-13, 5.76102136993427e-09, 6.29106785017040e-06,
            1.70198817374094e-03, 1.16817656904453e-01, 9.93151921023180e-01),
)  # fmt: skip


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    """Sigmoid; of other than single precision, PyTorch's."""
    if x.dtype != torch.float32:
        return torch.sigmoid(x)
    return (_ratio(x.clamp(-18, 18), *_SIGMOID) + 0.5).clamp(0, 1)


def tanh(x: torch.Tensor) -> torch.Tensor:
    """Tanh; of other than single precision, PyTorch's."""
    return _ratio(x.clamp(-9, 9), *_TANH) if x.dtype == torch.float32 else torch.tanh(x)


def _ratio(x: torch.Tensor, above: Sequence[float], below: Sequence[float]) -> torch.Tensor:
    square = x * x
    return _horner(square, above) * x / _horner(square, below)


def _horner(square: torch.Tensor, coefficients: Sequence[float]) -> torch.Tensor:
    """Return a polynomial; products of single precision are exact in double precision."""
    found = torch.full_like(square, coefficients[0])
    for coefficient in coefficients[1:]:
        found = (found.double() * square.double() + coefficient).float()
    return found
