"""Look at a network before it is quantized: its layers, and what spiq knows and would do."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spiq.analysis import Analysis, analyse
from spiq.config import Config
from spiq.inspection.layers import LayerResult, layer_results
from spiq.io.read import read
from spiq.planning.choose.decide import Choices, choose, has_layers, make_plan
from spiq.planning.errors.expected import ExpectedError, expected_errors

if TYPE_CHECKING:
    from spiq.io.read import Source


@dataclass(frozen=True, kw_only=True)
class InspectedLayer(LayerResult):
    """One layer, and what is expected of it before it is quantized."""

    expected_snr_db: float | None = None
    """Signal of the layer's output over the error that it is expected to add, in dB; None in
    float."""
    expected_error: float | None = None
    """Power of the error that it is expected to cause at the network's outputs, relative to their
    signal: a number to compare layers by."""


@dataclass(frozen=True, kw_only=True)
class InspectResult:
    """What ``spiq inspect MODEL`` shows: the layers before quantization."""

    model: str
    layers: tuple[InspectedLayer, ...]
    unknown_operators: tuple[str, ...] = ()
    """Operators without a statistics rule, as ``Operator 'node'``."""
    notes: tuple[str, ...] = ()

    @property
    def error_shares(self) -> dict[str, float]:
        """Each layer's share of the expected error, by name, where one is expected."""
        found = {layer.name: layer.expected_error for layer in self.layers}
        errors = {name: error for name, error in found.items() if error is not None}
        whole = sum(errors.values()) or 1.0
        return {name: error / whole for name, error in errors.items()}


def inspect(model: "Source", config: Config | None = None) -> InspectResult:
    """Describe the layers of a float network, and say which of them would be quantized.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> first = spiq.inspect(model_path()).layers[0]
    >>> first.name, first.operator, first.quantized
    ('/layers/layers.0/conv/Conv', 'Conv', True)

    Args:
        model: Path of an ONNX file, its bytes, an ``onnx.ModelProto`` or an ``onnx_ir.Model``
            (which is not changed).
        config: The options that a quantization would get.

    Raises:
        ModelError: The model cannot be used; the message says why and what to do.
        ConfigError: The options do not fit the model.
    """
    config = config or Config()
    known = analyse(read(model), config)
    next_names = known.prepared.next_names
    chosen = choose(known.graph, known.measured, known.importance, config, next_names=next_names)
    return InspectResult(
        model=os.fspath(model) if isinstance(model, str | os.PathLike) else str(known.graph.name),
        layers=_layers(known, config, chosen),
        unknown_operators=known.measured.unknown,
        notes=known.notes,
    )


def _layers(known: Analysis, config: Config, chosen: Choices) -> tuple[InspectedLayer, ...]:
    """Describe the layers by what was decided of them."""
    described = layer_results(known.graph, known.measured)
    reasons = {str(node.name): reason for node, reason in chosen.placement.reasons.items()}
    reasons |= {layer.name: layer.reason for layer in described if layer.reason}
    for node in chosen.placement.integer:  # a product of two tensors, too
        reasons.pop(str(node.name), None)

    errors = _expected(known, config, chosen)
    return tuple(
        InspectedLayer(
            **vars(layer)
            | {"quantized": layer.name not in reasons, "reason": reasons.get(layer.name, "")},
            expected_snr_db=errors[layer.name].snr_db if layer.name in errors else None,
            expected_error=errors[layer.name].total if layer.name in errors else None,
        )
        for layer in described
    )


def _expected(known: Analysis, config: Config, chosen: Choices) -> dict[str, ExpectedError]:
    """Return what each layer is expected to lose; nothing where no layer can be quantized."""
    if not has_layers(chosen.placement):
        return {}
    graph, measured = known.graph, known.measured
    plan = make_plan(graph, measured, chosen, config, model_hash="", version="")
    return expected_errors(graph, measured, plan, chosen.placement, known.importance)
