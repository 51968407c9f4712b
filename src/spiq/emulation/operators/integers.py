"""Operators to and from integers, as ONNX defines them.

Integers of a quantized tensor are kept as float32 numbers without a fraction: exact up to 2^24,
known to every operator of PyTorch, on every device, and with a gradient.

    QuantizeLinear      q = saturate(round(x / s) + z)
    DequantizeLinear    x = (q - z) s

Rounding is to the nearest, ties to even. Its gradient is 0; or, straight through, 1, and then that
of saturation is 1 inside of the grid and 0 outside (Bengio, Leonard, Courville: "Estimating or
Propagating Gradients Through Stochastic Neurons", 2013).
"""

import torch

from spiq.emulation.operators.layers import conv
from spiq.emulation.step import Compute, Given, Step, optional


def straight_through(x: torch.Tensor) -> torch.Tensor:
    """Round to the nearest integer, with a gradient of 1."""
    return x + (torch.round(x) - x).detach()


def _along(parameter: torch.Tensor, rank: int, axis: int) -> torch.Tensor:
    """Return a scale or zero point shaped to broadcast along its axis."""
    if parameter.ndim != 1 or not rank:
        return parameter
    shape = [1] * rank
    shape[axis] = -1
    return parameter.reshape(shape)


def _grid(step: Step, given: Given) -> tuple[torch.Tensor, torch.Tensor]:
    if step.get("block_size", 0):
        raise step.refuse("its grid is in blocks")
    rank, axis = given[0].ndim, step.get("axis", 1)
    scale, zero = given[1], optional(given, 2)
    zero = torch.zeros_like(scale) if zero is None else zero
    return _along(scale, rank, axis), _along(zero, rank, axis)


def quantize(step: Step, given: Given) -> torch.Tensor:
    """QuantizeLinear."""
    scale, zero = _grid(step, given)
    kind = torch.uint8 if optional(given, 2) is None else given[2].dtype
    ends = torch.iinfo(kind)
    return (step.rounded(given[0] / scale) + zero.float()).clamp(ends.min, ends.max)


def dequantize(step: Step, given: Given) -> torch.Tensor:
    """DequantizeLinear."""
    scale, zero = _grid(step, given)
    return (given[0].float() - zero.float()) * scale


def quantize_by_own_range(step: Step, given: Given) -> tuple[torch.Tensor, ...]:
    """DynamicQuantizeLinear: integers, step and zero point of a tensor, by its own range."""
    x = given[0]
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = step.rounded((-low / scale).clamp(0, 255))
    return (step.rounded(x / scale) + zero).clamp(0, 255), scale, zero


def conv_of_integers(step: Step, given: Given) -> torch.Tensor:
    """ConvInteger."""
    return conv(step, _shifted(given, weight_axis=0))


def product_of_integers(step: Step, given: Given) -> torch.Tensor:
    """MatMulInteger."""
    x, weight = _shifted(given, weight_axis=-1)
    return torch.matmul(x, weight)


def _shifted(given: Given, *, weight_axis: int) -> list[torch.Tensor]:
    """Return activation and weight less their zero points."""
    x, weight = given[0].float(), given[1].float()
    own, other = optional(given, 2), optional(given, 3)
    if own is not None:
        x = x - own.float()
    if other is not None:
        weight = weight - _along(other.float(), weight.ndim, weight_axis)
    return [x, weight]


INTEGERS: dict[str, Compute] = {
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "DynamicQuantizeLinear": quantize_by_own_range,
    "ConvInteger": conv_of_integers,
    "MatMulInteger": product_of_integers,
}
