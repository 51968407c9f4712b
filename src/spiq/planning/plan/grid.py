"""An affine grid of integers: real = step (q - zero_point)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grid:
    """The integers that a tensor is stored as.

    Attributes:
        bits: Number of bits in use; storage is 8 bits, or 16.
        step: Distance between neighbours, in units of the folded tensor.
        zero_point: The integer that stands for 0.
        signed: False for 0 .. 2^bits - 1; True for -2^(bits-1) .. 2^(bits-1) - 1.
    """

    bits: int
    step: float
    zero_point: int
    signed: bool = False

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """What it is stored as."""
        return np.dtype(f"{'int' if self.signed else 'uint'}{8 if self.bits <= 8 else 16}")

    @property
    def is_full(self) -> bool:
        """Whether every integer that can be stored is on the grid."""
        return self.bits == 8 * self.dtype.itemsize

    @property
    def qmin(self) -> int:
        """The least integer."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def qmax(self) -> int:
        """The greatest integer."""
        return self.qmin + (1 << self.bits) - 1
