"""Which tensors and layers run on integers, and what shares a grid or a scale."""
