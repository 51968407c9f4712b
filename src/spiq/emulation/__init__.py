"""A quantized network in PyTorch: its integers emulated, operator by operator.

Needs PyTorch, and is imported only by who asks for it, :meth:`spiq.Quantized.to_torch`.
"""

from spiq.emulation.network import Network

__all__ = ["Network"]
