"""The float network in the form that the runtime is quickest with, to be timed beside.

ONNX Runtime folds a BatchNormalization into the convolution in front of it where the numbers of
both are stored in the file. PyTorch's exporter without its optimizer writes a bias of zeros as
operators (CastLike, Expand), and then it stays: so written, GhostNetV2 takes 2.4 times as long, and
whatever is quantized looks fast beside it.
"""

import onnx_ir as ir

from spiq.graph.edit import remove_unused
from spiq.graph.query import is_constant
from spiq.passes.batchnorm import Moments, fold_batchnorm
from spiq.passes.cleanup import drop_noops, plain_constants
from spiq.passes.constants import fold_constants, resolve_shapes
from spiq.passes.expands import drop_expands

_STEPS = (resolve_shapes, drop_expands, fold_constants, plain_constants, drop_noops)


def computes_parameters(model: ir.Model) -> bool:
    """Return whether weights, biases or numbers of BatchNormalizations are worked out, not stored.

    Args:
        model: The network as it was given, its Constants turned to initializers.
    """
    return any(
        node.op_type in ("Conv", "ConvTranspose", "BatchNormalization")
        and not all(map(is_constant, filter(None, node.inputs[1:])))
        for node in model.graph
    )


def with_norms_folded(model: ir.Model) -> ir.Model:
    """Fold the BatchNormalizations of ``model``, and what they are worked out by, in place."""
    for step in _STEPS:
        step(model)
    fold_batchnorm(model, _unrecorded)
    remove_unused(model.graph)
    return model


def _unrecorded(value: ir.Value, moments: Moments) -> None:
    """Do without what is stated: nothing is measured here."""
