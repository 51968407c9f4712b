"""Decisions: which tensors are quantized, on which grid, with which per-channel scales."""
