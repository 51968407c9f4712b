"""Operators that move numbers and leave them what they are."""

MOVING = frozenset({"Compress", "Concat", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather",
                    "GatherND", "Identity", "Pad", "Reshape", "Slice", "SpaceToDepth", "Split",
                    "Squeeze", "Tile", "Transpose", "Unsqueeze"})  # fmt: skip
"""Those that show numbers of their first input, and Concat of all of them."""
