"""A quantized network in PyTorch: its integers emulated, operator by operator.

Needs PyTorch, and is imported only by who asks for it, :meth:`spiq.Quantized.to_torch`.

network            the module
step, operators    a node of the graph, and what each operator computes
fused, kernels     layers on integers; sums, products and pools of them
ordered            what is added up in float, in the runtime's order
"""

from spiq.emulation.network import Network

__all__ = ["Network"]
