"""SQuant: weights rounded so that the error of each kernel and of each output channel sums to 0.

Guo et al.: "SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian Approximation", ICLR
2022, arXiv 2202.07471. SQuant is a rounding of weights, see :mod:`spiq.rewriting.rounding`; ranges
of activations are those of ``static``, biases stay as they are, as published.
"""

from spiq.methods.method import Method

METHOD = Method(name="squant", rounding="squant", bias_correction=False)
