"""Operators that read or write at places which the network computes, and triangles."""

import torch
from torch.nn import functional as F

from spiq.emulation.step import Compute, Given, Step, optional

_MODES = {"bilinear": "bilinear", "linear": "bilinear", "nearest": "nearest"}


def grid_sample(step: Step, given: Given) -> torch.Tensor:
    """GridSample, linear or nearest."""
    mode = step.get("mode", "linear")
    if mode not in _MODES:
        raise step.refuse(f"its mode is {mode}")
    return F.grid_sample(
        given[0],
        given[1],
        mode=_MODES[mode],
        padding_mode=step.get("padding_mode", "zeros"),
        align_corners=bool(step.get("align_corners", 0)),
    )


def scatter_elements(step: Step, given: Given) -> torch.Tensor:
    """ScatterElements, without a reduction."""
    if step.get("reduction", "none") != "none":
        raise step.refuse("it reduces")
    x, axis = given[0], step.get("axis", 0)
    places = given[1].to(x.device).long()
    return x.scatter(axis, torch.where(places < 0, places + x.shape[axis], places), given[2])


def triangle(step: Step, given: Given) -> torch.Tensor:
    """Trilu."""
    held = optional(given, 1)
    diagonal = 0 if held is None else int(held)
    return (torch.triu if step.get("upper", 1) else torch.tril)(given[0], diagonal)


SELECTION: dict[str, Compute] = {
    "GridSample": grid_sample,
    "ScatterElements": scatter_elements,
    "Trilu": triangle,
}
