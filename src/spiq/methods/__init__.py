"""Quantization methods, one module each: which alphas the planner may choose from.

alpha says how far the scales go from one scalar per tensor (0) to one per channel (1), see
:mod:`spiq.planning.scales`.
"""

from types import MappingProxyType

from spiq.methods import spiq, static

METHODS = MappingProxyType({module.NAME: module for module in (spiq, static)})
"""The methods by name."""
