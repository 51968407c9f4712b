"""Carry a plan out on a float graph: fold scales, round weights, correct biases."""
