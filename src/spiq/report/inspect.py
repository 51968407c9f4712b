"""Look at a network before it is quantized: its layers, and what spiq knows and would do."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from spiq.config import Config
from spiq.network.read import read
from spiq.pipeline import analyse
from spiq.planning.decide import check_exclude
from spiq.planning.place import place
from spiq.report.layers import layer_results
from spiq.report.results import InspectResult
from spiq.targets import TARGETS

if TYPE_CHECKING:
    from spiq.network.read import Source


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
    check_exclude(graph, config.exclude)
    placement = place(graph, measured, TARGETS[config.target], config.exclude)
    reasons = {str(node.name): reason for node, reason in placement.reasons.items()}
    layers = (
        replace(layer, quantized=layer.name not in reasons, reason=reasons.get(layer.name, ""))
        for layer in layer_results(graph, measured)
    )
    return InspectResult(
        model=os.fspath(model) if isinstance(model, str | os.PathLike) else str(graph.name),
        layers=tuple(layers),
        unknown_operators=measured.unknown,
        notes=notes,
    )
