"""Kinds of operators, by what they do to numbers."""

MOVING = frozenset({"Compress", "Concat", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather",
                    "GatherND", "Identity", "Pad", "Reshape", "Slice", "SpaceToDepth", "Split",
                    "Squeeze", "Tile", "Transpose", "Unsqueeze"})  # fmt: skip
"""Those that show numbers of their first input, and Concat of all of them."""

ACTIVATIONS = frozenset({"Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish",
                         "Relu", "Selu", "Sigmoid", "Softplus", "Tanh"})  # fmt: skip
"""Those that do the same to every number, with one input that depends on the network's."""
