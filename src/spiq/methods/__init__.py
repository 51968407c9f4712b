"""Quantization methods, one module each, named after its paper."""

from types import MappingProxyType

from spiq.methods import dfq, dynamic, spiq, spiq_paper, squant, static
from spiq.methods.method import Method

__all__ = ["METHODS", "Method"]

METHODS: MappingProxyType[str, Method] = MappingProxyType(
    {
        module.METHOD.name: module.METHOD
        for module in (spiq, static, dynamic, spiq_paper, dfq, squant)
    }
)
"""The methods by name."""
