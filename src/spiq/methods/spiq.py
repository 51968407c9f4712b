"""Per-channel static input quantization, with every choice made by the expected error.

Yvinec, Dapogny, Cord, Bailly: "SPIQ: Data-Free Per-Channel Static Input Quantization", WACV 2023,
arXiv 2203.14642. The paper scales each input channel to its own range (alpha 1); here alpha is
chosen by the expected error, and 0 is among the choices.
"""

from spiq.methods.method import Method

METHOD = Method(
    name="spiq",
    alphas=(0.0, 0.25, 0.5, 0.75, 1.0),
    rounding="correlated",
    shared_steps=True,
    relieves=True,
)
