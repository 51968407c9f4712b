"""Operators that take axes together: sums, means, maxima, softmax, indices."""

from collections.abc import Callable
from typing import Any

import torch

from spiq.emulation.step import Compute, Given, Step, numbers, setting


def reduction(function: Callable[..., Any]) -> Compute:
    """Return a reduction over axes that are an input or an attribute; over all without."""

    def compute(step: Step, given: Given) -> Any:
        x, axes = given[0], setting(step, given, "axes", 1)
        if not axes:
            if step.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.ndim))
        return function(x, axes, bool(step.get("keepdims", 1)))

    return compute


def _mean(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    return torch.mean(x, axes, keepdim=keep)


def _sum(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    return torch.sum(x, axes, keepdim=keep)


def _product(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = torch.prod(x, axis, keepdim=keep)
    return x


def index_of(function: Callable[..., Any]) -> Compute:
    """Return ArgMax or ArgMin."""

    def compute(step: Step, given: Given) -> Any:
        x, axis = given[0], step.get("axis", 0)
        keep = bool(step.get("keepdims", 1))
        if step.get("select_last_index", 0):
            last = x.shape[axis] - 1
            return last - function(x.flip(axis), dim=axis, keepdim=keep)
        return function(x, dim=axis, keepdim=keep)

    return compute


def top_k(step: Step, given: Given) -> tuple[torch.Tensor, torch.Tensor]:
    """TopK: values and their indices, sorted; of equal ones the first come first."""
    x, (count,) = given[0], numbers(given[1])
    axis, largest = step.get("axis", -1), bool(step.get("largest", 1))
    values, places = torch.sort(x, dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, count), places.narrow(axis, 0, count)


def cumulated(step: Step, given: Given) -> torch.Tensor:
    """CumSum."""
    x, (axis,) = given[0], numbers(given[1])
    if step.get("exclusive", 0):
        raise step.refuse("it is exclusive")
    if step.get("reverse", 0):
        return x.flip(axis).cumsum(axis).flip(axis)
    return x.cumsum(axis)


def normalized(step: Step, given: Given) -> torch.Tensor:
    """LpNormalization."""
    x, axis, p = given[0], step.get("axis", -1), step.get("p", 2)
    return x / torch.linalg.vector_norm(x, p, axis, keepdim=True)


def standardized(step: Step, given: Given) -> torch.Tensor:
    """MeanVarianceNormalization."""
    x, axes = given[0], step.get("axes", [0, 2, 3])
    centred = x - x.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True).sqrt() + 1e-9)


def _along(function: Callable[..., Any]) -> Compute:
    return lambda step, given: function(given[0], dim=step.get("axis", -1))


REDUCTIONS: dict[str, Compute] = {
    "ArgMax": index_of(torch.argmax),
    "ArgMin": index_of(torch.argmin),
    "CumSum": cumulated,
    "LogSoftmax": _along(torch.log_softmax),
    "LpNormalization": normalized,
    "MeanVarianceNormalization": standardized,
    "ReduceL1": reduction(lambda x, axes, keep: _sum(x.abs(), axes, keep)),
    "ReduceL2": reduction(lambda x, axes, keep: _sum(x.square(), axes, keep).sqrt()),
    "ReduceLogSum": reduction(lambda x, axes, keep: _sum(x, axes, keep).log()),
    "ReduceLogSumExp": reduction(lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep)),
    "ReduceMax": reduction(lambda x, axes, keep: torch.amax(x, axes, keepdim=keep)),
    "ReduceMean": reduction(_mean),
    "ReduceMin": reduction(lambda x, axes, keep: torch.amin(x, axes, keepdim=keep)),
    "ReduceProd": reduction(_product),
    "ReduceSum": reduction(_sum),
    "ReduceSumSquare": reduction(lambda x, axes, keep: _sum(x.square(), axes, keep)),
    "Softmax": _along(torch.softmax),
    "TopK": top_k,
}
