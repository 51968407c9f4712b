"""Export by tracing, with PyTorch's older exporter: for what torch.export cannot follow.

Sizes that depend on what is found (the boxes of torchvision's detectors) stop torch.export and not
a trace. But a trace holds what the module did with one example: branches that depend on numbers are
frozen, and sizes are those of the example. So it is the second choice, and said.
"""

import io
from collections.abc import Mapping
from typing import Any

import onnx
import onnx_ir as ir
import torch
from torch import nn

from spiq.torch.quiet import quiet

OPSET = 17
"""The newest that the older exporter is made for, but for a few operators."""


def traced(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ir.Model:
    """Return the graph of what a module does with its example inputs, with BatchNorm kept.

    Raises:
        Exception: Whatever the module raises, or the exporter.
    """
    written = io.BytesIO()
    with quiet(), torch.no_grad():
        torch.onnx.export(
            module,
            args,
            written,
            kwargs=dict(kwargs),
            dynamo=False,
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
    return ir.serde.deserialize_model(onnx.load_from_string(written.getvalue()))
