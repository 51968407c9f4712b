"""Carry a plan out on a float graph: fold scales, round weights, correct biases.

fold_scales, float_layers, gates    scales of channels folded into weights, also in float and at
                                    gates
round_layers, round_weights,        layers to integers, one by one
round_dynamic
rounding, feedback, squant          ways to round a weight
directions                          zeros that have to stay zeros
dense_groups, prelu                 forms that the runtime computes faster
"""
