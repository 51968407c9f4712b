"""SPIQ as published: one range per channel of each layer's input, beta +- lambda gamma.

Yvinec, Dapogny, Cord, Bailly: "SPIQ: Data-Free Per-Channel Static Input Quantization", WACV 2023,
arXiv 2203.14642. Every channel has a scale of its own, one lambda serves all tensors, weights are
rounded to nearest, and biases stay as they are.

What we read of the paper says neither what lambda is nor what becomes of channels that share a
scale. Lambda is 6 as in DFQ (Nagel et al., ICCV 2019), whose ranges these are but for being one
per channel; a shared scale is the largest that is asked for. Behind operators without
BatchNormalization ranges are carried on as for all methods, see :mod:`spiq.planning.errors.ranges`.
"""

from spiq.methods.method import Method

METHOD = Method(
    name="spiq-paper",
    alphas=(1.0,),
    widths=(6.0,),
    bias_correction=False,
)
