"""Classic static quantization: one scalar range per tensor, from the same statistics."""

NAME = "static"
ALPHAS = (0.0,)
ROUNDING = "nearest"
