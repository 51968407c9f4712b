"""Layers whose operands and result are all integers, computed as runtimes compute them.

A layer between DequantizeLinear and QuantizeLinear means

    q_y = saturate(round((sum (q_x - z_x) s_x q_w s_w + b s_x s_w) / s_y) + z_y)

and integer kernels compute it as

    a = sum (q_x - z_x) q_w + b,    q_y = saturate(round(a m) + z_y),    m = (s_x s_w) / s_y

with a exact and m in single precision. Both are the same but for the last bits, and where one falls
on the other side of a half, so does all behind it. So the second form is what is computed: on most
networks the module then stores the very integers that ONNX Runtime stores.

a is exact in single precision while no partial sum can exceed 2^24, which the weights tell; double
precision is taken beyond. Algorithms that are not exact (Winograd's, on GPUs) are off by less than
a half, and a is rounded.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch

from spiq.emulation.kernels import NARROW, fused_kernel, scalar_grid
from spiq.emulation.operators.layers import LAYERS
from spiq.emulation.step import Given, Step

FUSED = "spiq.IntegerLayer"
_EXACT = 2.0**24
_AXES = {"Conv": 1, "Gemm": -1, "MatMul": -1}
"""Axis of the result that output channels lie along."""


def fuse(
    steps: Sequence[Step], constants: Mapping[str, torch.Tensor], outputs: Iterable[str]
) -> tuple[Step, ...]:
    """Put one step in the place of each kernel on integers, and drop what nothing reads then."""
    writers = {name: step for step in steps for name in step.outputs}
    kept, made = set(outputs), []
    read = Counter(name for step in steps for name in step.inputs)
    for step in steps:
        alone = step.operator == "QuantizeLinear" and (
            read[step.inputs[0]] == 1 and step.inputs[0] not in kept
        )
        inner = writers.get(step.inputs[0] or "") if alone else None
        made.append((_fused(step, inner, writers, constants) if inner else None) or step)
    return _needed(made, kept)


def integer_layer(step: Step, given: Given) -> torch.Tensor:
    """Compute such a layer from q_x, z_x, q_w, b (or None), s_x, s_w, s_y and z_y."""
    q, zero_x, weight, bias, scale_x, scale_w, scale_y, zero_y = given
    kind = torch.float64 if step.get("wide", False) else torch.float32
    x = q.to(kind) - zero_x.to(kind)
    total = step.rounded(LAYERS[step.get("layer", "")](step, [x, weight.to(kind)]))
    shape = [1] * total.ndim
    shape[_AXES[step.get("layer", "")]] = -1
    if bias is not None:
        total = total + bias.to(kind).reshape(shape)
    multiplier = (scale_x * scale_w) / scale_y
    ends = torch.iinfo(zero_y.dtype)
    scaled = step.rounded(total.float() * multiplier.reshape(shape)) + zero_y.float()
    return scaled.clamp(ends.min, ends.max)


def _fused(
    last: Step, layer: Step, writers: Mapping[str, Step], constants: Mapping[str, torch.Tensor]
) -> Step | None:
    """Return the step that a QuantizeLinear and the operator in front of it are together."""
    if layer.operator not in _AXES:
        return fused_kernel(last, layer, writers, constants)
    if not _is_plain(layer):
        return None
    x, weight, *bias = (writers.get(name or "") for name in layer.inputs if name)
    if any(s is None or s.operator != "DequantizeLinear" for s in (x, weight, *bias)):
        return None
    assert x is not None and weight is not None
    grids = [scalar_grid(step, constants) for step in (x, last)]
    rows = [_rows(step, constants, layer) for step in (weight, *bias) if step is not None]
    if None in grids or None in rows:
        return None
    numbers = [constants[str(step.inputs[0])] for step in (weight, *bias) if step is not None]
    stored = {constants[str(name)].dtype for name in (x.inputs[2], last.inputs[2])}
    if any(number.dtype != torch.int32 for number in numbers[1:]) or not stored <= NARROW:
        return None  # a bias of 8 bits has a step of its own; sums of 16 bits are not exact
    inputs = (
        x.inputs[0], x.inputs[2], weight.inputs[0], bias[0].inputs[0] if bias and bias[0] else None,
        x.inputs[1], weight.inputs[1], last.inputs[1], last.inputs[2],
    )  # fmt: skip
    attributes = {**layer.attributes, "layer": layer.operator, "wide": _is_wide(layer, numbers)}
    return replace(last, operator=FUSED, inputs=inputs, attributes=attributes)


def _is_plain(layer: Step) -> bool:
    """Return whether a step is a layer that has no factors of its own."""
    factors = layer.get("alpha", 1.0) == layer.get("beta", 1.0) == 1
    return factors and not layer.get("transA", 0)


def _rows(step: Step, constants: Mapping[str, torch.Tensor], layer: Step) -> str | None:
    """Return the scale of constant integers without an offset, one per output channel or one."""
    held = [constants.get(name or "") for name in step.inputs]
    if any(tensor is None for tensor in held) or len(held) < 3 or bool(held[2].any()):  # type: ignore[union-attr]
        return None
    numbers, scale = held[0], held[1]
    assert numbers is not None and scale is not None
    if scale.numel() == 1 or numbers.ndim == 1:
        return str(step.inputs[1])
    if layer.operator == "Gemm" and not layer.get("transB", 0):
        return None
    axis = numbers.ndim - 1 if layer.operator == "MatMul" else 0
    return str(step.inputs[1]) if step.get("axis", 1) % numbers.ndim == axis else None


def _is_wide(layer: Step, numbers: Sequence[torch.Tensor]) -> bool:
    """Return whether a partial sum may exceed what single precision holds exactly."""
    weight = numbers[0].double().abs()
    axis = weight.ndim - 1 if layer.operator == "MatMul" else 0
    most = 255 * weight.movedim(axis, 0).flatten(1).sum(1).max()
    shift = numbers[1].double().abs().max() if len(numbers) > 1 else 0.0
    return bool(most + shift >= _EXACT)


def _needed(steps: Sequence[Step], outputs: set[str]) -> tuple[Step, ...]:
    wanted, kept = set(outputs), []
    for step in reversed(steps):
        if wanted.intersection(step.outputs):
            kept.append(step)
            wanted.update(name for name in step.inputs if name)
    return tuple(reversed(kept))
