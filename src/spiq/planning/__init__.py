"""Decisions: which tensors are quantized, on which grid, with which per-channel scales.

placement    which tensors and layers run on integers, and what goes together
plan         the plan, as values and as JSON, and what it means on a network
errors       what choices are expected to cost at the outputs
choose       the choices with the least expected error
"""
