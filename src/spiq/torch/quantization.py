"""Quantize a PyTorch network: export with BatchNorm kept, then as any other.

Or keep what BatchNorm says of its layers, for the network as someone else exports it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spiq.analysis import Progress
from spiq.config import Config
from spiq.errors import WARNING, ModelError
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.pipeline import quantize as _quantize
from spiq.quantized import Quantized
from spiq.stats.sidecar import Statistics, collect
from spiq.torch.export import NOTE, Network, exported


def quantize(
    network: Network,
    example_inputs: Any = None,
    config: Config | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> Quantized:
    """Quantize a PyTorch network without data.

    >>> import torch, spiq.torch
    >>> conv, norm = torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8)
    >>> module = torch.nn.Sequential(conv, norm, torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3)).eval()
    >>> result = spiq.torch.quantize(module, torch.zeros(1, 3, 32, 32))
    >>> [layer.name for layer in result.report.layers]
    ['0', '3']

    The module stays as it is. Layers have the names of their modules, so
    ``Config(exclude=("head.*",))`` keeps a part in float.

    Args:
        network: An ``nn.Module`` in inference mode, on any device; or a
            ``torch.export.ExportedProgram`` or ``torch.onnx.ONNXProgram`` of one.
        example_inputs: What the module is called with: a tensor, or a tuple of what its
            ``forward`` takes. Only shapes and types matter. Not for programs.
        config: The options, as for :func:`spiq.quantize`.
        kwargs: What it is called with by name.
        dynamic_shapes: Sizes that are left open, as for ``torch.export.export``. By default the
            first of every input, the batch, if the network allows that.
        statistics: From :func:`statistics`, where BatchNorm has been folded away since.
        progress: Told the name of each step as it begins.

    Raises:
        ConfigError: The arguments or the options do not fit the network.
        ModelError: The module is in training mode, or has no weights yet.
        UnsupportedError: It is quantized already, or PyTorch cannot export it.
        VerificationError: The result fails its check in the runtime.
    """
    if progress is not None:
        progress("export")
    model = exported(network, example_inputs, kwargs=kwargs, dynamic_shapes=dynamic_shapes)
    result = _quantize(model, config, statistics=statistics, progress=progress)
    if NOTE not in model.meta:
        return result
    notes = (*result.report.notes, WARNING + model.meta[NOTE])
    return replace(result, report=replace(result.report, notes=notes))


def statistics(
    network: Network, example_inputs: Any = None, *, kwargs: Mapping[str, Any] | None = None
) -> Statistics:
    """Return what BatchNorm says of a network's layers, before it is folded away.

    >>> import torch, spiq.torch
    >>> conv, norm = torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8)
    >>> module = torch.nn.Sequential(conv, norm, torch.nn.ReLU()).eval()
    >>> spiq.torch.statistics(module, torch.zeros(1, 3, 32, 32)).layers["0"].mean.shape
    (8,)

    ``kept = spiq.torch.statistics(module, x)``, then ``module.fuse()`` or an export that folds,
    then ``spiq.quantize("model.onnx", statistics=kept)``. Layers are found again by their weights.

    Args:
        network: As for :func:`quantize`.
        example_inputs: As for :func:`quantize`.
        kwargs: As for :func:`quantize`.

    Raises:
        ConfigError: The arguments do not fit the network.
        ModelError: The module is in training mode, has no weights yet, or has no BatchNorm.
        UnsupportedError: It is quantized already, or PyTorch cannot export it.
    """
    found = collect(prepare(read(exported(network, example_inputs, kwargs=kwargs))))
    if not found.layers:
        raise ModelError(
            f"{type(network).__name__}: no BatchNorm stands behind a layer, so there are no "
            "statistics to keep: take them before the module is fused"
        )
    return found
