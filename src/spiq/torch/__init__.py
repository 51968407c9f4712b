"""PyTorch networks: an ``nn.Module`` in, a quantized network out.

    import spiq.torch

    result = spiq.torch.quantize(module, torch.zeros(1, 3, 224, 224))
    result.save("model.int8.onnx")

Needs the extra ``spiq[torch]``.

quantization                        quantize, and statistics
export, older                       from a module to ONNX, in two ways
check, copying, attention, quiet    the module: checked, copied, what the exporter cannot translate,
                                    its noise
pools                               what it translates so that no channel is known
names, tidy                         layers called like their modules, and what the exporter writes
                                    besides taken out
files                               programs in files
"""

try:
    import onnxscript as _onnxscript  # noqa: F401  (what PyTorch exports with)
    from torch import nn as _nn  # noqa: F401
except ImportError as error:
    raise ImportError("spiq.torch needs PyTorch: pip install 'spiq[torch]'") from error

from spiq.torch.export import exported
from spiq.torch.quantization import quantize, statistics

__all__ = ["exported", "quantize", "statistics"]
