"""Whether a module can be exported as it is: trained, in inference mode, in float, with weights."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy

from spiq.errors import ConfigError, ModelError, UnsupportedError

_QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.qat",
              "torch.ao.nn.intrinsic.qat", "torchao.", "bitsandbytes.", "quanto.",
              "optimum.quanto.", "brevitas.")  # fmt: skip
"""Where classes come from whose weights, or whose activations, are rounded already."""

_OBSERVERS = {"FakeQuantizeBase", "ObserverBase"}
_FLOAT = {"FloatFunctional", "FXFloatFunctional"}
"""By name, since torch.ao is on its way out: what watches or rounds activations, and sums in float
that a quantizer may replace."""

_INTEGERS = (torch.qint8, torch.quint8, torch.qint32)


def unwrapped(module: object) -> nn.Module:
    """Return the module that is meant: without wrappers for several devices or for compiling.

    Raises:
        ConfigError: It is no module, or one of TorchScript.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise ConfigError(
            "a TorchScript module cannot be exported with BatchNorm kept: give the nn.Module that "
            "it was made from"
        )
    if not isinstance(module, nn.Module):
        raise ConfigError(
            f"a network is an nn.Module, an ExportedProgram or an ONNXProgram, not "
            f"{type(module).__name__}: build the module and load its weights first"
        )
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(module.module)
    inner = getattr(module, "_orig_mod", None)  # what torch.compile wraps
    return unwrapped(inner) if isinstance(inner, nn.Module) else module


def check(module: nn.Module) -> None:
    """Refuse what would be exported as something else than the trained network.

    Raises:
        ModelError: A layer is in training mode, or has no weights yet.
        UnsupportedError: The module is quantized already.
    """
    name = type(module).__name__
    for path, part in module.named_modules():
        where = f"{name}: {_described(path, part)}"
        if _is_quantized(part):
            raise UnsupportedError(f"{where} is quantized already: give the float module")
        if any(is_lazy(tensor) for tensor in _tensors(part)):
            raise ModelError(
                f"{where} has no weights yet: run the module once on an example, and load what "
                "was trained"
            )
        if any(tensor.is_meta for tensor in _tensors(part)):
            raise ModelError(f"{where} is on the device 'meta', without weights: load them first")
    if module.training:
        raise ModelError(f"{name} is in training mode: call eval() on it first")
    for path, part in module.named_modules():
        if part.training and isinstance(part, _NormBase | _DropoutNd):
            raise ModelError(
                f"{name}: {_described(path, part)} is in training mode: call eval() on the whole "
                "module first"
            )


def _described(path: str, part: nn.Module) -> str:
    return f"{type(part).__name__} '{path}'" if path else "the module itself"


def _tensors(part: nn.Module) -> Iterator[torch.Tensor]:
    yield from (tensor for tensor in part._parameters.values() if tensor is not None)
    yield from (tensor for tensor in part._buffers.values() if tensor is not None)


def _is_quantized(part: nn.Module) -> bool:
    bases = {kind.__name__ for kind in type(part).__mro__}
    if bases & _OBSERVERS:
        return True
    if bases & _FLOAT:
        return False
    kinds = (type(part), *(type(tensor) for tensor in _tensors(part)))
    rounded = any(kind.__module__.startswith(_QUANTIZED) for kind in kinds)
    return rounded or any(tensor.dtype in _INTEGERS for tensor in _tensors(part))
