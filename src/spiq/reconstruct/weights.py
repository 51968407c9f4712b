"""Integers, steps and bias of a layer that are learned.

A weight lies between two integers each, w = s (floor + h), with h a sigmoid stretched beyond 0 and
1 and cut off there (Nagel et al.: "Up or Down? Adaptive Rounding for Post-Training Quantization",
ICML 2020, eq. 22 and 23). One of the two integers is what rounding in one go found, and h begins
beside it: that is hard to beat, and a start from the float weight ends elsewhere. Once all is
decided, biases are whole steps of the sums that they are added to, as they are stored.
"""

import torch
from torch import nn

_LOW, _HIGH = -0.1, 1.1
"""Ends that the sigmoid is stretched to."""

_NEAR, _FAR = 0.02, 0.1
"""How far from a decision h begins: as far as the weight is from its integer, within these."""


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
