"""Steps and zero points of grids that are learned, and tensors that are stored on them.

Steps are learned as LSQ does (Esser et al.: "Learned Step Size Quantization", ICLR 2020, eq. 3), by
a factor.
"""

from math import inf, log
from typing import Any

import torch
from torch import nn

from spiq.planning.plan.grid import Grid
from spiq.planning.plan.resolve import StoredTensor


class _OnGrid(torch.autograd.Function):  # type: ignore[misc]
    """y = clamp(round(x / s), qmin - z, qmax - z) s, with the gradients of LSQ for x, log s and z.

    That for log s is y - x inside of the grid, y outside of it; the difference is taken number by
    number, since two sums that are nearly alike leave nothing of it where there are 16 bits. Masks
    are floats: with booleans, products take six times as long on a CPU.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, unit: torch.Tensor, log_factor: torch.Tensor,
        zero: torch.Tensor | int, grid: Grid,
    ) -> torch.Tensor:  # fmt: skip
        unit = unit * torch.exp(log_factor)
        rounded = (x / unit).round_()
        q = rounded.clamp(grid.qmin - zero, grid.qmax - zero)
        inside = torch.eq(rounded, q, out=torch.empty_like(x))
        y = q.mul_(unit)
        ctx.save_for_backward(x, y, inside, unit)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        x, y, inside, unit = ctx.saved_tensors
        passed = gradient * inside
        of_factor = of_zero = None
        if ctx.needs_input_grad[2]:
            of_factor = _dot(gradient, torch.addcmul(y, inside, x, value=-1))
        if ctx.needs_input_grad[3]:
            of_zero = ((passed - gradient) * unit).sum()
        return passed, None, of_factor, of_zero, None


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.dot(a.reshape(-1), b.reshape(-1))


class Step(nn.Module):  # type: ignore[misc]
    """The step of a grid, or of some that have it in common, by a factor.

    Attributes:
        most: What the logarithm of the factor may be at most.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_factor = nn.Parameter(torch.zeros(()))
        self.most = inf

    def bound(self) -> None:
        """Bring the factor back to where no grid ends beyond a bound that it stands for."""
        with torch.no_grad():
            self.log_factor.clamp_(max=self.most)


class Zero(nn.Module):  # type: ignore[misc]
    """By which share of a grid its zero point moves."""

    def __init__(self) -> None:
        super().__init__()
        self.move = nn.Parameter(torch.zeros(()))


class Stored(nn.Module):  # type: ignore[misc]
    """A tensor on its grid: divided by its channel scales, rounded, cut off and given back."""

    def __init__(self, tensor: StoredTensor, step: Step, zero: Zero | None = None) -> None:
        """Take the tensor, the step of its grid, and the zero point's move if it is to be learned.

        A grid that ends at 0 keeps its zero point: it stands for a ReLU, or nothing is below.
        """
        super().__init__()
        self.step, self.zero, self.grid = step, zero, tensor.grid
        scale = torch.tensor(tensor.channel_scale, dtype=torch.float32) * tensor.grid.step
        self.register_buffer("unit", scale.reshape(tensor.layout))

    @property
    def unit_step(self) -> torch.Tensor:
        """The step of the grid, of the folded tensor."""
        return self.grid.step * torch.exp(self.step.log_factor)

    def bounded(self, bound: float) -> None:
        """Keep the upper end of the grid within a bound, whatever is learned of its step."""
        end = float(self.unit.max()) * (self.grid.qmax - self.grid.zero_point)
        self.step.most = min(self.step.most, max(log(bound / end), 0.0))

    @property
    def zero_point(self) -> torch.Tensor | int:
        """The integer that stands for 0, inside of the grid where it is learned."""
        grid = self.grid
        if self.zero is None:
            return grid.zero_point
        place = grid.zero_point + (grid.qmax - grid.qmin) * self.zero.move
        return place + (place.round().clamp(grid.qmin + 1, grid.qmax - 1) - place).detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what is left of a tensor."""
        found: torch.Tensor = _OnGrid.apply(
            x, self.unit, self.step.log_factor, self.zero_point, self.grid
        )
        return found
