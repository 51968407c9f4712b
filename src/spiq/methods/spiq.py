"""Per-channel static input quantization.

Yvinec, Dapogny, Cord, Bailly: "SPIQ: Data-Free Per-Channel Static Input Quantization", WACV 2023,
arXiv 2203.14642. The paper scales each input channel to its own range (alpha 1); here alpha is
chosen by the expected error, and 0 is among the choices.
"""

NAME = "spiq"
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
ROUNDING = "moment"
