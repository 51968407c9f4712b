"""Operators that move numbers, and those that make shapes.

Numbers that shapes are made of stay on the CPU, whatever device the data is on.
"""

import numpy as np
import onnx_ir as ir
import torch
from torch.nn import functional as F

from spiq.emulation.operators.layers import padded
from spiq.emulation.operators.pointwise import together
from spiq.emulation.step import Compute, Given, Step, numbers, optional, setting

_PAD_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def type_of(code: int) -> torch.dtype:
    """Return the type that a number of ONNX stands for."""
    return torch.from_numpy(np.zeros(1, ir.DataType(code).numpy())).dtype


def cast(step: Step, given: Given) -> torch.Tensor:
    """Cast."""
    return given[0].to(type_of(step.get("to", 1)))


def concat(step: Step, given: Given) -> torch.Tensor:
    """Concat."""
    return torch.cat(together(given), dim=step.get("axis", 0))


def split(step: Step, given: Given) -> tuple[torch.Tensor, ...]:
    """Split into given sizes, or into as many equal parts as there are outputs."""
    x, axis = given[0], step.get("axis", 0)
    sizes = setting(step, given, "split", 1)
    if sizes is None:
        part = -(-x.shape[axis] // len(step.outputs))
        return tuple(torch.split(x, part, dim=axis))
    return tuple(torch.split(x, sizes, dim=axis))


def reshape(step: Step, given: Given) -> torch.Tensor:
    """Reshape: 0 keeps a size, unless ``allowzero`` is set; -1 takes what is left."""
    x, sizes = given[0], numbers(given[1])
    if not step.get("allowzero", 0):
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return x.reshape(sizes)


def flatten(step: Step, given: Given) -> torch.Tensor:
    """Flatten to two axes."""
    x, axis = given[0], step.get("axis", 1)
    rows = 1
    for size in x.shape[: axis if axis >= 0 else axis + x.ndim]:
        rows *= size
    return x.reshape(rows, -1)


def squeeze(step: Step, given: Given) -> torch.Tensor:
    """Squeeze."""
    axes = setting(step, given, "axes", 1)
    return given[0].squeeze() if axes is None else given[0].squeeze(tuple(axes))


def unsqueeze(step: Step, given: Given) -> torch.Tensor:
    """Unsqueeze; the axes are those of the result."""
    x, axes = given[0], setting(step, given, "axes", 1) or []
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def transpose(step: Step, given: Given) -> torch.Tensor:
    """Transpose; without ``perm`` all axes change round."""
    x = given[0]
    return x.permute(step.get("perm", list(reversed(range(x.ndim)))))


def slices(step: Step, given: Given) -> torch.Tensor:
    """Slice, with steps that may be negative."""
    x = given[0]
    starts, ends = numbers(given[1]), numbers(given[2])
    held, strides = optional(given, 3), optional(given, 4)
    axes = range(len(starts)) if held is None else numbers(held)
    steps = [1] * len(starts) if strides is None else numbers(strides)
    for axis, start, end, stride in zip(axes, starts, ends, steps, strict=True):
        places = range(*slice(*_ends(start, end, stride, x.shape[axis]), stride).indices(
            x.shape[axis]))  # fmt: skip
        if stride > 0:
            x = x.movedim(axis, 0)[slice(places.start, places.stop, stride)].movedim(0, axis)
        else:
            x = x.index_select(axis, torch.tensor(list(places), device=x.device))
    return x


def _ends(start: int, end: int, stride: int, size: int) -> tuple[int, int | None]:
    """Return ends as Python means them: a negative step runs to the first only without an end."""
    if stride < 0 and end < -size:
        return start, None
    return start, end


def gather(step: Step, given: Given) -> torch.Tensor:
    """Gather: an axis is replaced by those of the indices."""
    x, indices, axis = given[0], given[1], step.get("axis", 0) % given[0].ndim
    wanted = indices.to(x.device).long()
    wanted = torch.where(wanted < 0, wanted + x.shape[axis], wanted)
    shape = (*x.shape[:axis], *wanted.shape, *x.shape[axis + 1 :])
    return x.index_select(axis, wanted.reshape(-1)).reshape(shape)


def gather_elements(step: Step, given: Given) -> torch.Tensor:
    """GatherElements."""
    x, axis = given[0], step.get("axis", 0)
    wanted = given[1].to(x.device).long()
    return torch.gather(x, axis, torch.where(wanted < 0, wanted + x.shape[axis], wanted))


def expand(step: Step, given: Given) -> torch.Tensor:
    """Expand: both shapes broadcast."""
    return given[0].expand(torch.broadcast_shapes(given[0].shape, numbers(given[1])))


def pad(step: Step, given: Given) -> torch.Tensor:
    """Pad in any mode; negative pads crop."""
    x, pads = given[0], numbers(given[1])
    value, axes = optional(given, 2), optional(given, 3)
    if axes is not None:
        pads = _on_all_axes(pads, numbers(axes), x.ndim)
    mode = step.get("mode", "constant")
    if mode == "constant":
        return padded(x, pads, 0.0 if value is None else value.item())
    first = next((i for i in range(x.ndim) if pads[i] or pads[i + x.ndim]), x.ndim - 1)
    inner = pads[first : x.ndim] + pads[x.ndim + first :]
    flat = x.reshape(1, -1, *x.shape[first:])  # PyTorch pads the last three axes at most
    pairs = [
        p for a in reversed(range(x.ndim - first)) for p in (inner[a], inner[a + x.ndim - first])
    ]
    moved = F.pad(flat, pairs, mode=_PAD_MODES[mode])
    return moved.reshape(*x.shape[:first], *moved.shape[2:])


def _on_all_axes(pads: list[int], axes: list[int], rank: int) -> list[int]:
    full = [0] * (2 * rank)
    for i, axis in enumerate(axes):
        full[axis % rank], full[axis % rank + rank] = pads[i], pads[i + len(axes)]
    return full


def depth_to_space(step: Step, given: Given) -> torch.Tensor:
    """DepthToSpace: blocks of channels by depth first (DCR) or column first (CRD)."""
    x, b = given[0], step.get("blocksize", 1)
    n, c, h, w = x.shape
    if step.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, b)
    parts = x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // b**2, h * b, w * b)


def space_to_depth(step: Step, given: Given) -> torch.Tensor:
    """SpaceToDepth."""
    x, b = given[0], step.get("blocksize", 1)
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, c * b**2, h // b, w // b)


def shape(step: Step, given: Given) -> torch.Tensor:
    """Shape, or a part of it."""
    sizes = list(given[0].shape)
    return torch.tensor(sizes[slice(step.get("start", 0), step.get("end", None))])


def constant(step: Step, given: Given) -> torch.Tensor:
    """Constant."""
    (held,) = step.attributes.values()
    return held if isinstance(held, torch.Tensor) else torch.tensor(held)


def constant_of_shape(step: Step, given: Given) -> torch.Tensor:
    """ConstantOfShape."""
    value = step.get("value", torch.zeros(1))
    return torch.full(numbers(given[0]), value.item(), dtype=value.dtype)


def counted(step: Step, given: Given) -> torch.Tensor:
    """Range."""
    return torch.arange(*(number.item() for number in given), dtype=given[0].dtype)


def scatter_nd(step: Step, given: Given) -> torch.Tensor:
    """ScatterND, without a reduction."""
    if step.get("reduction", "none") != "none":
        raise step.refuse("it reduces")
    x, updates = given[0].clone(), given[2]
    x[tuple(given[1].to(x.device).long().unbind(-1))] = updates
    return x


def gather_nd(step: Step, given: Given) -> torch.Tensor:
    """GatherND, without axes of a batch."""
    if step.get("batch_dims", 0):
        raise step.refuse("it has axes of a batch")
    return given[0][tuple(given[1].to(given[0].device).long().unbind(-1))]


MOVEMENT: dict[str, Compute] = {
    "Cast": cast,
    "CastLike": lambda step, given: given[0].to(given[1].dtype),
    "Concat": concat,
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "DepthToSpace": depth_to_space,
    "Dropout": lambda step, given: given[0],
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "Identity": lambda step, given: given[0],
    "Pad": pad,
    "Range": counted,
    "Reshape": reshape,
    "ScatterND": scatter_nd,
    "Shape": shape,
    "Size": lambda step, given: torch.tensor(given[0].numel()),
    "Slice": slices,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": lambda step, given: given[0].repeat(numbers(given[1])),
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
