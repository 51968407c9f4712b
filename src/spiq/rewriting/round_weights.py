"""Round folded weights to integers, and biases with them.

A weight gets one symmetric scale per output channel, s_o = max |W[o]| / qmax, and is rounded as the
plan says, see :mod:`spiq.rewriting.rounding`. Rounding moves it by dW, which moves the mean of the
output by E[x] dW; since E[x] is known, this is taken off the bias (analytic bias correction; Nagel
et al.: "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
eq. 17), zero padding included. Biases are stored as 32-bit integers on the step s_x s_o, so s_o is
never so small that a bias would leave them (a row of zeros, say).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from spiq.errors import PlanError
from spiq.network.passes.batchnorm import weight_and_bias
from spiq.planning.plan import LayerPlan, TensorPlan
from spiq.rewriting.fold_scales import channel_scale
from spiq.rewriting.rounding import ROUNDINGS, Rounding
from spiq.stats.channel import Array
from spiq.stats.rules.linear import grouped, per_output, tap_shares

_BIAS_LIMIT = 2.0**30


@dataclass(frozen=True)
class RoundedLayer:
    """A layer's integers.

    Attributes:
        weight: int8, in the shape of the layer's weight.
        scale: Step per output channel, shape (O,), float32.
        bias: int32, shape (O,), on the step ``scale`` times the input's.
    """

    weight: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.int32]


def round_layer(node: ir.Node, layer: LayerPlan, source: TensorPlan) -> RoundedLayer:
    """Round the folded weight and bias of ``node``.

    Args:
        node: The layer, scales folded.
        layer: How to round.
        source: How the layer's input is stored.
    """
    weight, bias = weight_and_bias(node)
    qmax = 2 ** (layer.bits - 1) - 1
    rows = weight.T if node.op_type == "MatMul" else weight
    rows = rows.reshape(len(rows), -1)
    peak = np.abs(rows).max(axis=1).astype(np.float64)
    step = np.maximum(peak / qmax, np.abs(bias) / (source.grid.scale * _BIAS_LIMIT))
    scale = np.where(step > 0, step, 1.0).astype(np.float32)
    kernel = weight.shape[2:] if weight.ndim > 2 else (1,)
    steps = (rows / scale[:, None]).reshape(len(rows), -1, int(np.prod(kernel)))
    rounded = _rounding(layer)(steps.astype(np.float32, copy=False), kernel, qmax).reshape(
        rows.shape
    )
    if layer.input_mean:
        moved = rounded * scale[:, None]
        moved -= rows
        bias = bias - _mean_shift(node, moved, layer, source, weight.shape)
    integers = rounded.astype(np.int8)
    if node.op_type == "MatMul":
        integers = integers.T
    stored = np.rint(bias / (source.grid.scale * scale.astype(np.float64)))
    limit = np.iinfo(np.int32)
    return RoundedLayer(
        integers.reshape(weight.shape),
        scale,
        np.clip(stored, limit.min, limit.max).astype(np.int32),
    )


def _rounding(layer: LayerPlan) -> Rounding:
    found = ROUNDINGS.get(layer.rounding)
    if found is None:
        raise PlanError(
            f"unknown rounding {layer.rounding!r}: choose one of {', '.join(ROUNDINGS)}"
        )
    return found


def _mean_shift(
    node: ir.Node,
    moved: np.ndarray,
    layer: LayerPlan,
    source: TensorPlan,
    shape: tuple[int, ...],
) -> Array:
    """Return sum_{c,k} E[x_c] share_k dW[o,c,k], shape (O,)."""
    split = grouped(node, moved.T if node.op_type == "MatMul" else moved.reshape(shape))
    mean = np.array(layer.input_mean)
    sigma = channel_scale(source)
    if sigma is not None:
        mean = mean / sigma
    size = split.shape[0] * split.shape[2]
    shares = tap_shares(node).astype(split.dtype)
    return per_output(split @ shares, np.broadcast_to(mean, size))
