"""Data-free quantization: equalized layers, absorbed biases, bias correction, beta +- 6 gamma.

Nagel, van Baalen, Blankevoort, Welling: "Data-Free Quantization Through Weight Equalization and
Bias Correction", ICCV 2019, arXiv 1906.04721. One scalar range per tensor, from the least to the
greatest beta +- 6 gamma of its channels. The paper has one scale per weight, too; here, as in all
methods, it is one per output channel. See :mod:`spiq.passes.equalize` for the rest.
"""

from spiq.methods.method import Method

METHOD = Method(name="dfq", widths=(6.0,), equalizes=True)
