"""What each runtime can take, as data: read by placement, never by an ``if`` on a name."""

from dataclasses import dataclass

_INTEGER = frozenset(
    {
        "Conv", "Gemm", "MatMul",
        "Add", "BatchNormalization", "HardSigmoid", "Mul", "Sigmoid",
        "Concat", "DepthToSpace", "Flatten", "Gather", "Pad", "Reshape", "Slice", "SpaceToDepth",
        "Split", "Squeeze", "Transpose", "Unsqueeze",
        "AveragePool", "GlobalAveragePool", "MaxPool", "LeakyRelu", "ResizeNearest",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Target:
    """A runtime's abilities.

    Attributes:
        name: What the user calls it.
        integer: Operators with an integer kernel. BatchNormalization stands for its integer form,
            a 1x1 depthwise convolution; ResizeNearest for Resize in mode ``nearest``.
        float_output: Layers whose integer kernel may end in float.
        weight_bits: The most bits that a weight may have. On x86 CPUs without VNNI, products of
            uint8 and 8-bit weights saturate their 16-bit sums; 7 bits do not.
        dense_groups: Grouped convolutions with at most so many weights per tap are faster dense.
        channel_multiple: Kernels are made for multiples of so many channels, and others are padded.
        slow_prelu: PRelu is slower than the products and the maximum that it stands for.
    """

    name: str
    integer: frozenset[str] = _INTEGER
    float_output: frozenset[str] = frozenset({"Gemm", "MatMul"})
    weight_bits: int = 8
    dense_groups: int = 0
    channel_multiple: int = 0
    slow_prelu: bool = False


ONNXRUNTIME = Target(name="onnxruntime", dense_groups=640, channel_multiple=16, slow_prelu=True)
PORTABLE = Target(name="portable", weight_bits=7)

TARGETS = {target.name: target for target in (ONNXRUNTIME, PORTABLE)}
