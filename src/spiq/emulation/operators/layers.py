"""Layers, normalization and pooling.

Pads are written out, each side by itself, as ONNX has them: PyTorch's layers pad both sides alike.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from spiq.emulation.step import Compute, Given, Step, optional

_CONVS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAXIMA = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def padded(x: torch.Tensor, pads: Sequence[int], value: float = 0.0) -> torch.Tensor:
    """Pad the last axes: ONNX lists all begins, then all ends; PyTorch pairs, last axis first."""
    if not any(pads):
        return x
    count = len(pads) // 2
    pairs = [pad for axis in reversed(range(count)) for pad in (pads[axis], pads[axis + count])]
    return F.pad(x, pairs, value=value)


def same_pads(mode: str, sizes: Sequence[int], step: Step, kernel: Sequence[int]) -> list[int]:
    """Return what ``auto_pad`` means for an input of these sizes."""
    ones = [1] * len(kernel)
    if mode == "VALID":
        return [0] * (2 * len(kernel))
    spans = zip(sizes, kernel, step.get("strides", ones), step.get("dilations", ones), strict=True)
    total = [max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in spans]
    small = [pad // 2 for pad in total]
    large = [pad - half for pad, half in zip(total, small, strict=True)]
    return small + large if mode == "SAME_UPPER" else large + small


def pads_of(step: Step, x: torch.Tensor, kernel: Sequence[int]) -> list[int]:
    """Return a layer's pads, begins first."""
    mode = step.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return list(step.get("pads", [0] * (2 * len(kernel))))
    return same_pads(mode, x.shape[2:], step, kernel)


def conv(step: Step, given: Given) -> torch.Tensor:
    """Conv of any rank: x (N, C, ...), weight (O, C/group, ...), bias (O,)."""
    x, weight = given[0], given[1]
    kernel = weight.shape[2:]
    ones = [1] * len(kernel)
    return _CONVS[len(kernel)](
        padded(x, pads_of(step, x, kernel)),
        weight,
        optional(given, 2),
        stride=step.get("strides", ones),
        dilation=step.get("dilations", ones),
        groups=step.get("group", 1),
    )


def conv_transpose(step: Step, given: Given) -> torch.Tensor:
    """ConvTranspose: computed whole, then cropped by the pads."""
    x, weight = given[0], given[1]
    kernel = weight.shape[2:]
    ones = [1] * len(kernel)
    whole = _TRANSPOSED[len(kernel)](
        x,
        weight,
        optional(given, 2),
        stride=step.get("strides", ones),
        output_padding=step.get("output_padding", [0] * len(kernel)),
        dilation=step.get("dilations", ones),
        groups=step.get("group", 1),
    )
    pads = _crops(step, whole.shape[2:], x.shape[2:])
    for axis, (begin, end) in enumerate(zip(pads[: len(kernel)], pads[len(kernel) :], strict=True)):
        whole = whole.narrow(axis + 2, begin, whole.shape[axis + 2] - begin - end)
    return whole


def _crops(step: Step, whole: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """Return how much of a transposed convolution is cut off, begins first."""
    mode, wanted = step.get("auto_pad", "NOTSET"), step.get("output_shape", None)
    if wanted is None and mode in ("NOTSET", "VALID"):
        return list(step.get("pads", [0] * (2 * len(whole))))
    strides = step.get("strides", [1] * len(whole))
    wanted = wanted or [n * s for n, s in zip(sizes, strides, strict=True)]
    total = [max(have - want, 0) for have, want in zip(whole, wanted, strict=True)]
    small = [cut // 2 for cut in total]
    large = [cut - half for cut, half in zip(total, small, strict=True)]
    return small + large if mode == "SAME_UPPER" else large + small


def gemm(step: Step, given: Given) -> torch.Tensor:
    """Gemm: alpha A B + beta C."""
    a = given[0].t() if step.get("transA", 0) else given[0]
    b = given[1].t() if step.get("transB", 0) else given[1]
    product = step.get("alpha", 1.0) * (a @ b)
    c = optional(given, 2)
    return product if c is None else product + step.get("beta", 1.0) * c


def _windows(step: Step, x: torch.Tensor) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return kernel, strides and dilations of a pool, and its pads with what ceil_mode adds."""
    kernel = list(step.get("kernel_shape", x.shape[2:]))
    count = len(kernel)
    strides, dilations = step.get("strides", [1] * count), step.get("dilations", [1] * count)
    pads = pads_of(step, x, kernel)
    if step.get("ceil_mode", 0):
        for axis, (size, stride) in enumerate(zip(x.shape[2:], strides, strict=True)):
            span = (kernel[axis] - 1) * dilations[axis] + 1
            whole = size + pads[axis] + pads[axis + count]
            last = math.ceil((whole - span) / stride)
            last -= last * stride >= size + pads[axis]  # it would see nothing but the pad
            pads[axis + count] += max(last * stride + span - whole, 0)
    return kernel, strides, dilations, pads


def max_pool(step: Step, given: Given) -> torch.Tensor:
    """MaxPool, without the indices."""
    kernel, strides, dilations, pads = _windows(step, given[0])
    x = padded(given[0], pads, -math.inf)
    return _MAXIMA[len(kernel)](x, kernel, strides, dilation=dilations)


Windows = Callable[[torch.Tensor, Sequence[int], Sequence[int]], torch.Tensor]
"""Sums of windows of a tensor, by their sizes and strides."""


def average_pool(step: Step, given: Given, *, sums: Windows | None = None) -> torch.Tensor:
    """AveragePool: the mean of what lies in the image, or of the window with its pads."""
    x = given[0]
    kernel, strides, dilations, pads = _windows(step, x)
    if any(dilation != 1 for dilation in dilations):
        raise step.refuse("it has dilations")
    total = (sums or window_sums)(padded(x, pads), kernel, strides)
    if not any(pads):
        return total / math.prod(kernel)
    inside = torch.ones_like(x[:1, :1])
    stated = pads_of(step, x, kernel)
    if step.get("count_include_pad", 0):
        inside = padded(inside, stated, 1.0)
        pads = [all_ - own for all_, own in zip(pads, stated, strict=True)]
    return total / window_sums(padded(inside, pads), kernel, strides)


def window_sums(x: torch.Tensor, kernel: Sequence[int], strides: Sequence[int]) -> torch.Tensor:
    """Return the sum of each window: PyTorch divides means where kernels divide sums."""
    if len(kernel) == 3:
        return F.avg_pool3d(x, list(kernel), list(strides), divisor_override=1)
    if len(kernel) == 2:
        return F.avg_pool2d(x, list(kernel), list(strides), divisor_override=1)
    return F.avg_pool2d(x[:, :, None], [1, *kernel], [1, *strides], divisor_override=1)[:, :, 0]


def global_pool(kind: Any) -> Compute:
    """Return a pool over all positions."""
    return lambda step, given: kind(given[0], dim=tuple(range(2, given[0].ndim)), keepdim=True)


def batch_norm(step: Step, given: Given) -> torch.Tensor:
    """BatchNormalization in inference mode, each step rounded as ONNX Runtime rounds it."""
    x, gamma, beta, mean, var = given[:5]
    # by way of double precision, since PyTorch's own root is not always the nearest number
    deviation = torch.sqrt((var + step.get("epsilon", 1e-5)).double()).to(var.dtype).double()
    if step.get("blocked", False):
        factor = (gamma.double() / deviation).to(var.dtype)
    else:
        factor = gamma * (1 / deviation).to(var.dtype)
    shape = [1, -1, *[1] * (x.ndim - 2)]
    return x * factor.reshape(shape) + (beta - mean * factor).reshape(shape)


def instance_norm(step: Step, given: Given) -> torch.Tensor:
    """InstanceNormalization."""
    x, gamma, beta = given
    return F.instance_norm(x, weight=gamma, bias=beta, eps=step.get("epsilon", 1e-5))


def layer_norm(step: Step, given: Given) -> torch.Tensor:
    """LayerNormalization over the axes from ``axis`` on."""
    x, gamma = given[0], given[1]
    shape = x.shape[step.get("axis", -1) % x.ndim :]
    centred = F.layer_norm(x, shape, eps=step.get("epsilon", 1e-5))
    beta = optional(given, 2)
    return centred * gamma if beta is None else centred * gamma + beta


def rms_norm(step: Step, given: Given) -> torch.Tensor:
    """RMSNormalization over the axes from ``axis`` on."""
    x, gamma = given
    axes = tuple(range(step.get("axis", -1) % x.ndim, x.ndim))
    power = x.square().mean(axes, keepdim=True)
    return x * torch.rsqrt(power + step.get("epsilon", 1e-5)) * gamma


def group_norm(step: Step, given: Given) -> torch.Tensor:
    """GroupNormalization; gamma and beta per channel, or per group in its first version."""
    x, gamma, beta = given
    groups = step.get("num_groups", 1)
    per = x.shape[1] // gamma.numel()
    gamma, beta = gamma.repeat_interleave(per), beta.repeat_interleave(per)
    return F.group_norm(x, groups, gamma, beta, eps=step.get("epsilon", 1e-5))


def local_response(step: Step, given: Given) -> torch.Tensor:
    """LRN: x / (bias + alpha/size sum of squares of channels around) ^ beta."""
    x, size = given[0], step.get("size", 1)
    power = x.square().movedim(1, -1)
    around = F.pad(power, ((size - 1) // 2, size // 2)).unfold(-1, size, 1).sum(-1).movedim(-1, 1)
    base = step.get("bias", 1.0) + step.get("alpha", 1e-4) / size * around
    return x / base ** step.get("beta", 0.75)


LAYERS: dict[str, Compute] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul": lambda step, given: torch.matmul(given[0], given[1]),
    "Einsum": lambda step, given: torch.einsum(step.get("equation", ""), *given),
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_pool(torch.mean),
    "GlobalMaxPool": global_pool(torch.amax),
    "BatchNormalization": batch_norm,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
    "GroupNormalization": group_norm,
    "LRN": local_response,
}
