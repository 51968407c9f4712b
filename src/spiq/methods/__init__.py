"""Quantization methods, one module each: plain settings that the planner reads.

``ALPHAS`` are the choices of how far the scales go from one scalar per tensor (0) to one per
channel (1), see :mod:`spiq.planning.scales`; ``ROUNDING`` names a way to round weights, see
:mod:`spiq.rewriting.rounding`.
"""

from types import MappingProxyType

from spiq.methods import spiq, static

METHODS = MappingProxyType({module.NAME: module for module in (spiq, static)})
"""The methods by name."""
