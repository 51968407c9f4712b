"""Operators that do the same to every number, with one input that depends on the network's."""

ACTIVATIONS = frozenset({"Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish",
                         "Relu", "Selu", "Sigmoid", "Softplus", "Tanh"})  # fmt: skip
