"""Attention of tensors that the ONNX exporter cannot translate: others than four axes.

    softmax(scale q k^T + mask) v,    scale = 1 / sqrt(E) where none is given

as PyTorch defines ``scaled_dot_product_attention``; onnxscript 0.7 knows it for four axes alone.
Twins computes it in windows, with five.
"""

import math
from typing import Any

import torch
from torch.export import ExportedProgram

_ATTENTION = torch.ops.aten.scaled_dot_product_attention.default


def plain_attention(program: ExportedProgram) -> ExportedProgram:
    """Return the program with attention in plain operators, if it has any of another rank."""
    ranks = {
        node.args[0].meta["val"].ndim
        for node in program.graph.nodes
        if node.op == "call_function" and node.target is _ATTENTION
    }
    return program.run_decompositions({_ATTENTION: _attention}) if ranks - {4} else program


def _attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    **others: Any,
) -> torch.Tensor:
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = (q * factor) @ k.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(attn_mask.logical_not(), float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, -1) @ v
