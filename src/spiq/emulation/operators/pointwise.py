"""Operators that take numbers one by one, with broadcasting."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch.nn import functional as F

from spiq.emulation.operators.curves import sigmoid, tanh
from spiq.emulation.step import Compute, Given, Step, optional

Function = Callable[..., Any]


def one(function: Function) -> Compute:
    """Return an operator of one tensor."""
    return lambda step, given: function(given[0])


def set_by(function: Function, **defaults: float) -> Compute:
    """Return an operator of one tensor and of attributes, in the order of the defaults."""

    def compute(step: Step, given: Given) -> Any:
        return function(given[0], *(step.get(name, value) for name, value in defaults.items()))

    return compute


def two(function: Function) -> Compute:
    """Return an operator of two tensors."""
    return lambda step, given: function(*together(given))


def many(function: Function) -> Compute:
    """Return an operator of any number of tensors, taken one after the other."""
    return lambda step, given: reduce(function, together(given))


def together(given: Given) -> list[Any]:
    """Return tensors on one device: numbers that shapes are made of stay on the CPU."""
    devices = {tensor.device for tensor in given}
    if len(devices) == 1:
        return list(given)
    device = next(device for device in devices if device.type != "cpu")
    return [tensor.to(device) for tensor in given]


def divide(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Div: of integers, towards zero."""
    whole = not (a.is_floating_point() or b.is_floating_point())
    return torch.div(a, b, rounding_mode="trunc") if whole else a / b


def modulo(step: Step, given: Given) -> torch.Tensor:
    """Mod: with the sign of the divisor, or of the dividend where ``fmod`` is set."""
    return (torch.fmod if step.get("fmod", 0) else torch.remainder)(*together(given))


def clip(step: Step, given: Given) -> torch.Tensor:
    """Clip; either bound may be left out."""
    x = given[0]
    low, high = optional(given, 1), optional(given, 2)
    low = step.get("min", None) if low is None else low.item()
    high = step.get("max", None) if high is None else high.item()
    if low is None and high is None:
        return x
    if low is None or high is None or not x.is_floating_point():
        return x.clamp(low, high)
    return F.hardtanh(x, low, high)  # the same, with a gradient that takes a fifth of the time


def prelu(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """PRelu; the slope broadcasts as any other tensor."""
    return torch.where(x < 0, x * slope, x)


def gelu(step: Step, given: Given) -> torch.Tensor:
    """Gelu, exact or by tanh."""
    return F.gelu(given[0], approximate=step.get("approximate", "none"))


def shrink(x: torch.Tensor, lambd: float, bias: float) -> torch.Tensor:
    """Shrink."""
    zero = torch.zeros_like(x)
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, zero))


def selu(x: torch.Tensor, alpha: float, gamma: float) -> torch.Tensor:
    """Selu."""
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(x))


POINTWISE: dict[str, Compute] = {
    "Abs": one(torch.abs),
    "Add": two(torch.add),
    "And": two(torch.logical_and),
    "Ceil": one(torch.ceil),
    "Celu": set_by(F.celu, alpha=1.0),
    "Clip": clip,
    "Cos": one(torch.cos),
    "Div": two(divide),
    "Elu": set_by(F.elu, alpha=1.0),
    "Equal": two(torch.eq),
    "Erf": one(torch.erf),
    "Exp": one(torch.exp),
    "Floor": one(torch.floor),
    "Gelu": gelu,
    "Greater": two(torch.gt),
    "GreaterOrEqual": two(torch.ge),
    "HardSigmoid": set_by(lambda x, a, b: (a * x + b).clamp(0, 1), alpha=0.2, beta=0.5),
    "HardSwish": one(F.hardswish),
    "IsNaN": one(torch.isnan),
    "LeakyRelu": set_by(F.leaky_relu, alpha=0.01),
    "Less": two(torch.lt),
    "LessOrEqual": two(torch.le),
    "Log": one(torch.log),
    "Max": many(torch.maximum),
    "Mean": lambda step, given: reduce(torch.add, together(given)) / len(given),
    "Min": many(torch.minimum),
    "Mish": one(F.mish),
    "Mod": modulo,
    "Mul": two(torch.mul),
    "Neg": one(torch.neg),
    "Not": one(torch.logical_not),
    "Or": two(torch.logical_or),
    "PRelu": two(prelu),
    "Pow": two(lambda a, b: torch.pow(a, b).to(a.dtype)),
    "Reciprocal": one(torch.reciprocal),
    "Relu": one(torch.relu),
    "Round": one(torch.round),
    "Selu": set_by(selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "Shrink": set_by(shrink, lambd=0.5, bias=0.0),
    "Sigmoid": one(sigmoid),
    "Sign": one(torch.sign),
    "Sin": one(torch.sin),
    "Softplus": one(lambda x: F.softplus(x, threshold=1e9)),
    "Softsign": one(F.softsign),
    "Sqrt": one(torch.sqrt),
    "Sub": two(torch.sub),
    "Sum": many(torch.add),
    "Swish": set_by(lambda x, alpha: x * torch.sigmoid(alpha * x), alpha=1.0),
    "Tanh": one(tanh),
    "ThresholdedRelu": set_by(lambda x, alpha: torch.where(x > alpha, x, 0), alpha=1.0),
    "Where": lambda step, given: torch.where(*together(given)),
    "Xor": two(torch.logical_xor),
}
