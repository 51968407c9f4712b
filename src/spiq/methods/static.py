"""Classic static quantization: one scalar range per tensor, from the same statistics."""

from spiq.methods.method import Method

METHOD = Method(name="static", alphas=(0.0,))
