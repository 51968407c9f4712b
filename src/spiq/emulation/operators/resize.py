"""Resize, one axis after the other, by the coordinates that ONNX defines.

Output position i of n reads input position c of m, with scale s = n / m, as it is given:

    half_pixel              (i + 1/2) / s - 1/2
    pytorch_half_pixel      the same; 0 where n is 1
    half_pixel_symmetric    the same, about the middle: + m/2 (1 - n / (s m))
    asymmetric              i / s
    align_corners           i (m - 1) / (n - 1); 0 where n is 1

Nearest takes the number at c rounded; cubic weighs the 4 numbers around it, along one axis after
the other. Beyond an edge the edge's number counts.

Linear takes the corners of the cell that holds c along all axes of space at once, in the runtime's
order and in single precision from the coordinates on: nothing differs from it then, where one axis
after the other differed in half of all numbers, by 2e-6 of the largest, and what is stored behind
it by steps.
"""

import itertools
import math
from typing import NamedTuple

import torch

from spiq.emulation.step import Compute, Given, Step, numbers, optional


def resize(step: Step, given: Given) -> torch.Tensor:
    """Resize by nearest, linear or cubic interpolation."""
    _check(step)
    x, axes = given[0], _axes(step, given)
    if step.get("mode", "nearest") == "linear":
        return _linear(step, x, axes)
    for axis, size, scale in axes:
        if size != x.shape[axis] or scale != 1:
            x = _along(step, x, axis, size, scale)
    return x


def _check(step: Step) -> None:
    if step.get("antialias", 0):
        raise step.refuse("it has antialias")
    if step.get("exclude_outside", 0):
        raise step.refuse("it leaves out what is outside")
    if step.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise step.refuse("it keeps the aspect ratio")
    if step.get("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise step.refuse("it crops")


def _axes(step: Step, given: Given) -> list[tuple[int, int, float]]:
    """Return axis, size and scale of what changes."""
    x, scales, sizes = given[0], optional(given, 2), optional(given, 3)
    axes = step.get("axes", list(range(x.ndim)))
    if scales is not None and scales.numel():
        return [
            (axis % x.ndim, math.floor(x.shape[axis] * scale), scale)
            for axis, scale in zip(axes, scales.tolist(), strict=True)
        ]
    wanted = numbers(sizes)
    return [
        (axis % x.ndim, size, size / x.shape[axis]) for axis, size in zip(axes, wanted, strict=True)
    ]


def _along(step: Step, x: torch.Tensor, axis: int, size: int, scale: float) -> torch.Tensor:
    have = x.shape[axis]
    places = _coordinates(step, have, size, scale)
    mode = step.get("mode", "nearest")
    if mode == "nearest":
        return _taken(x, axis, _nearest(step, places))
    low = torch.floor(places)
    weights = _cubic((places - low).float(), step.get("cubic_coeff_a", -0.75))
    shape = [1] * x.ndim
    shape[axis] = size
    return sum(
        _taken(x, axis, low + offset) * weight.reshape(shape).to(x.device)
        for offset, weight in weights.items()
    )


class _Ends(NamedTuple):
    """Of each position along an axis: the numbers on either side of it, and what each weighs."""

    axis: int
    places: tuple[torch.Tensor, torch.Tensor]
    weights: tuple[torch.Tensor, torch.Tensor]


def _linear(step: Step, x: torch.Tensor, axes: list[tuple[int, int, float]]) -> torch.Tensor:
    """Weigh the corners of the cell in which each position lies, the last axis first."""
    changed = {axis: (size, by) for axis, size, by in axes if (size, by) != (x.shape[axis], 1)}
    inner = range(x.ndim - (2 if x.ndim in (2, 4) else 3), x.ndim)
    among = [*inner] if changed and all(axis in inner for axis in changed) else [*changed]
    ends = [_ends(step, x, axis, *changed.get(axis, (x.shape[axis], 1.0))) for axis in among]
    found: torch.Tensor | None = None
    for corner in itertools.product((0, 1), repeat=len(ends)):
        part, weight = x, torch.ones((), device=x.device)
        for side, one in zip(corner, ends, strict=True):
            part = part.index_select(one.axis, one.places[side])
        for side, one in reversed([*zip(corner, ends, strict=True)]):
            weight = weight * one.weights[side]
        found = weight * part if found is None else found + weight * part
    assert found is not None
    return found


def _ends(step: Step, x: torch.Tensor, axis: int, size: int, scale: float) -> _Ends:
    last = x.shape[axis] - 1
    same = scale == 1 and size == last + 1
    at = (
        torch.arange(size, dtype=torch.float32)
        if same
        else (_coordinates(step, last + 1, size, scale, torch.float32).clamp(0, last))
    )
    low = at.long().clamp(max=last)
    high = (low + 1).clamp(max=last)
    alone = torch.full_like(at, 0.5)  # at the last number, which is there twice
    weights = ((at - end).abs().where(low != high, alone) for end in (high, low))
    shape = [1] * x.ndim
    shape[axis] = size
    first, second = (weight.reshape(shape).to(x.device) for weight in weights)
    return _Ends(axis, (low.to(x.device), high.to(x.device)), (first, second))


def _coordinates(
    step: Step, have: int, size: int, scale: float, kind: torch.dtype = torch.float64
) -> torch.Tensor:
    """Return where each output position lies in the input."""
    i = torch.arange(size, dtype=kind)
    mode = step.get("coordinate_transformation_mode", "half_pixel")
    if mode == "asymmetric":
        return i / scale
    if mode == "align_corners":
        return i * (have - 1) / (size - 1) if size > 1 else i * 0
    if mode == "pytorch_half_pixel" and size == 1:
        return i * 0
    centred = (i + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        return centred + have / 2 * (1 - size / (scale * have))
    return centred


def _nearest(step: Step, places: torch.Tensor) -> torch.Tensor:
    mode = step.get("nearest_mode", "round_prefer_floor")
    near = places.float().double()  # as the runtime, which computes in single precision
    if mode == "floor":
        return torch.floor(near)
    if mode == "ceil":
        return torch.ceil(near)
    if mode == "round_prefer_ceil":
        return torch.floor(near + 0.5)
    return torch.ceil(near - 0.5)


def _cubic(t: torch.Tensor, a: float) -> dict[int, torch.Tensor]:
    """Return the weights of the four numbers around a place, by Keys' kernel."""

    def inner(d: torch.Tensor) -> torch.Tensor:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1

    def outer(d: torch.Tensor) -> torch.Tensor:
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a

    return {-1: outer(t + 1), 0: inner(t), 1: inner(1 - t), 2: outer(2 - t)}


def _taken(x: torch.Tensor, axis: int, places: torch.Tensor) -> torch.Tensor:
    wanted = places.long().clamp(0, x.shape[axis] - 1)
    return x.index_select(axis, wanted.to(x.device))


RESIZE: dict[str, Compute] = {"Resize": resize}
