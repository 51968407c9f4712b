"""Look at a network before it is quantized: its layers, and what spiq knows and would do."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from spiq.config import Config
from spiq.inspection.layers import layer_results
from spiq.inspection.results import InspectResult
from spiq.io.read import read
from spiq.methods import METHODS
from spiq.pipeline import analyse
from spiq.planning.choose.decide import excluded, make_plan, placed
from spiq.planning.errors.expected import ExpectedError, expected_errors
from spiq.planning.placement.place import LAYERS, Placement
from spiq.stats.propagate import Measured
from spiq.targets import TARGETS

if TYPE_CHECKING:
    from spiq.io.read import Source


def inspect(model: "Source", config: Config | None = None) -> InspectResult:
    """Describe the layers of a float network, and say which of them would be quantized.

    Args:
        model: Path of an ONNX file, its bytes, an ``onnx.ModelProto`` or an ``onnx_ir.Model``
            (which is not changed).
        config: The options that a quantization would get.

    Raises:
        ModelError: The model cannot be used; the message says why and what to do.
        ConfigError: The options do not fit the model.
    """
    config = config or Config()
    prepared, measured, notes = analyse(read(model), config)
    graph = prepared.model.graph
    target, method = TARGETS[config.target], METHODS[config.method]
    placement = placed(graph, measured, target, method, excluded(graph, config.exclude))
    reasons = {str(node.name): reason for node, reason in placement.reasons.items()}
    errors = _expected(prepared.model.graph, measured, config, placement)
    layers = (
        replace(
            layer,
            quantized=layer.name not in reasons,
            reason=reasons.get(layer.name, ""),
            expected_snr_db=errors[layer.name].snr_db if layer.name in errors else None,
            expected_error=errors[layer.name].total if layer.name in errors else None,
        )
        for layer in layer_results(graph, measured)
    )
    return InspectResult(
        model=os.fspath(model) if isinstance(model, str | os.PathLike) else str(graph.name),
        layers=tuple(layers),
        unknown_operators=measured.unknown,
        notes=notes,
    )


def _expected(
    graph: ir.Graph, measured: Measured, config: Config, placement: Placement
) -> dict[str, ExpectedError]:
    """Return what each layer is expected to lose; nothing where no layer can be quantized."""
    if not any(node.op_type in LAYERS for node in placement.integer):
        return {}
    made, placement = make_plan(graph, measured, config, model_hash="", version="")
    return expected_errors(graph, measured, made, placement)
