"""What is learned: step and zero point of each grid, and integers, steps and bias of each layer.

A weight lies between two integers each, w = s (floor + h), with h a sigmoid stretched beyond 0 and
1 and cut off there (Nagel et al.: "Up or Down? Adaptive Rounding for Post-Training Quantization",
ICML 2020, eq. 22 and 23). One of the two integers is what rounding in one go found, and h begins
beside it: that is hard to beat, and a start from the float weight ends elsewhere. Steps are learned
as LSQ does (Esser et al.: "Learned Step Size Quantization", ICLR 2020, eq. 3), by a factor. Once
all is decided, biases are whole steps of the sums that they are added to, as they are stored.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import inf, log
from typing import Any

import torch
from torch import nn

from spiq.planning.plan.grid import Grid
from spiq.planning.plan.resolve import StoredTensor

_LOW, _HIGH = -0.1, 1.1
"""Ends that the sigmoid is stretched to."""

_NEAR, _FAR = 0.02, 0.1
"""How far from a decision h begins: as far as the weight is from its integer, within these."""


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


class Weight(nn.Module):  # type: ignore[misc]
    """A layer's weight and bias.

    Attributes:
        hard: Whether every weight is the nearer one of its two integers.
    """

    def __init__(
        self, *, folded: torch.Tensor, ratio: torch.Tensor, integers: torch.Tensor,
        step: torch.Tensor, bias: torch.Tensor, bias_unit: torch.Tensor | float, unit: float,
        bits: int, axis: int,
    ) -> None:  # fmt: skip
        """Begin with what rounding in one go found.

        Args:
            folded: The weight, channel scales folded in.
            ratio: What folding multiplied it by, of the same shape.
            integers: The weight, rounded.
            step: The step per output channel.
            bias: The bias per output channel, not folded.
            bias_unit: What ``step`` times the step of what the layer reads is to be multiplied by
                for the step of such a bias; 0 where it is stored as a float.
            unit: What a bias is measured in: the deviation of the layer's output.
            bits: Bits of the weight.
            axis: The axis of its output channels.
        """
        super().__init__()
        self.qmax = float(2 ** (bits - 1) - 1)
        self.shape = [-1 if place == axis else 1 for place in range(folded.ndim)]
        self.unit, self.hard = unit, True
        off = folded / step.reshape(self.shape) - integers
        h = torch.where(off >= 0, off.abs().clamp(_NEAR, _FAR), 1 - off.abs().clamp(_NEAR, _FAR))
        self.register_buffer("floor", integers - (off < 0).to(integers.dtype))
        self.register_buffer("ratio", ratio)
        self.register_buffer("first_step", step)
        self.register_buffer("first_bias", bias)
        self.register_buffer("bias_unit", torch.as_tensor(bias_unit, dtype=torch.float32))
        self.logit = nn.Parameter(torch.logit((h - _LOW) / (_HIGH - _LOW)))
        self.log_factor = nn.Parameter(torch.zeros_like(step))
        self.shift = nn.Parameter(torch.zeros_like(bias))

    @property
    def h(self) -> torch.Tensor:
        """How far each weight is from its lower integer to its upper one."""
        return (torch.sigmoid(self.logit) * (_HIGH - _LOW) + _LOW).clamp(0, 1)

    @property
    def step(self) -> torch.Tensor:
        """The step per output channel."""
        return self.first_step * torch.exp(self.log_factor)

    @property
    def bias(self) -> torch.Tensor:
        """The bias per output channel."""
        return self.first_bias + self.unit * self.shift

    @property
    def integers(self) -> torch.Tensor:
        """The weight in steps; whole numbers if it is hard."""
        h = (self.h >= 0.5).to(self.floor.dtype) if self.hard else self.h
        return (self.floor + h).clamp(-self.qmax, self.qmax)

    def forward(self, read_on: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight and bias.

        Args:
            read_on: The step of what the layer reads.
        """
        weight = self.integers * self.step.reshape(self.shape) / self.ratio
        if not self.hard:
            return weight, self.bias
        return weight, _whole(self.bias, self.step * self.bias_unit * read_on)

    def undecided(self, sharpness: float) -> torch.Tensor:
        """Return AdaRound's regularizer (eq. 24) per weight: 0 where every h is 0 or 1."""
        return (1 - (2 * self.h - 1).abs().pow(sharpness)).mean()


def _whole(x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Return x in whole steps, with its own gradient; as it is where the step is 0."""
    step = step.detach()
    rounded = torch.where(step > 0, torch.round(x / step) * step, x)
    return x + (rounded - x).detach()


class Learned:
    """The quantized form of a network.

    Attributes:
        shared: Steps and zero points of grids, which several tensors may have in common.
        tensors: The stored tensors, by name.
        weights: The layers, by name.
        read: Names of the tensors that layers read, by that of the layer.
        coins: Where it is tossed whether a number is stored or stays as it was; None: all are.
    """

    def __init__(
        self,
        tensors: Mapping[str, StoredTensor],
        grids: Mapping[str, tuple[str, ...]],
        weights: Mapping[str, Weight],
        read: Mapping[str, str],
        bounds: Mapping[str, float],
        device: str,
    ) -> None:
        """Begin with what rounding in one go found.

        Args:
            tensors: How tensors are stored, by name.
            grids: What each of them takes from ``shared``: the key of a step and, if that is to be
                learned, of a zero point.
            weights: The layers, by name.
            read: Names of the tensors that layers read, by that of the layer.
            bounds: Upper bounds that the ends of grids stand for, as of ReLU6, by tensor.
            device: Where it is learned.
        """
        self.grids, self.weights, self.read = grids, weights, read
        self.shared: dict[str, nn.Module] = {}
        self.tensors: dict[str, Stored] = {}
        for name, tensor in tensors.items():
            kinds: tuple[type[nn.Module], ...] = (Step, Zero)
            own = [
                self.shared.setdefault(key, kind().to(device))
                for kind, key in zip(kinds, grids[name], strict=False)
            ]
            self.tensors[name] = Stored(tensor, *own).to(device)
            if name in bounds:
                self.tensors[name].bounded(bounds[name])
        self.coins: Coins | None = None

    def bound(self, keys: Iterable[str]) -> None:
        """Bring what is shared back into its bounds."""
        for key in keys:
            if isinstance(self.shared[key], Step):
                self.shared[key].bound()

    def start(self) -> Iterator[object]:
        """Yield all that says what the network is to begin with."""
        yield self.grids
        for name, tensor in self.tensors.items():
            yield from (name, tensor.grid, tensor.unit)
        for name, weight in self.weights.items():
            yield from (name, weight.qmax, weight.unit, *weight.state_dict().values())

    def layer(self, name: str) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return a layer's weight and bias."""
        found = self.weights.get(name)
        return None if found is None else found(self.tensors[self.read[name]].unit_step)

    def stored(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor as it is stored."""
        y = self.tensors[name](x)
        return y if self.coins is None else self.coins.mixed(y, x)


class Coins:
    """Coins that fall on one side with some probability: a long row of them, read from anywhere.

    Drawing them anew for every tensor would take longer than all else. They are 0 and 1, not
    booleans, by which numbers are taken from two tensors six times as slowly.
    """

    def __init__(self, share: float, generator: torch.Generator, device: str) -> None:
        """Take the share of numbers that stay as they were."""
        self.share, self.generator, self.device = share, generator, device
        self._row = torch.zeros(0)

    def mixed(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return y, with some of its numbers as they are in x (QDrop, ICLR 2022, eq. 9)."""
        if not self.share:
            return y
        if self._row.numel() < 2 * x.numel():
            drawn = torch.rand(2 * x.numel(), generator=self.generator) < self.share
            self._row = drawn.to(self.device, torch.float32)
        room = self._row.numel() - x.numel() + 1
        start = int(torch.randint(room, (), generator=self.generator))
        return torch.lerp(y, x, self._row[start : start + x.numel()].view(x.shape))
