"""What each runtime takes, as data: read where it matters, never by an ``if`` on a name.

A target says which operators run on integers, what grids activations may be on, and what weights
and biases look like. Sources, by target:

    onnxruntime       ONNX Runtime 1.32 on x86-64, measured with VNNI (docs/design.md) and without
    portable          the same on any CPU, nothing rewritten for its speed
    onnxruntime-arm   its MLAS: the symmetric kernels of ARM64 (``MlasSymmQgemm``) take int8
                      activations with any zero point, and int8 weights with zero point 0
    openvino          OpenVINO 2026.4 on the CPU, measured (docs/targets.md)
    tensorrt          NVIDIA, "Working with quantized types": int8, zero point 0, one scale per
                      activation and one per output channel of weights; Q/DQ in front of layers and
                      of the shortcut of a sum, none behind a layer; biases in float, since its
                      parser takes no int32 (onnx-tensorrt issue 850, onnxruntime issue 14229)
    tensorrt-fp16     the same in its strongly typed mode, where a network computes in the types
                      that its graph has: what stays in float is half precision
    qnn               ONNX Runtime's QNN quantizer (``get_qnn_qdq_config``): uint8 or uint16
                      activations, int8 weights, everything between Q/DQ, sizes fixed
    vitis             AMD, XINT8: int8, zero point 0, all scales powers of two, one per tensor,
                      biases of 8 bits
"""

import platform
from dataclasses import dataclass, field, replace

_LAYERS = frozenset({"Conv", "Gemm", "MatMul"})

_MOVERS = frozenset({"Concat", "DepthToSpace", "Flatten", "Gather", "Pad", "Reshape", "Slice",
                     "SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze"})  # fmt: skip

_INTEGER = (
    _LAYERS
    | _MOVERS
    | {"Add", "BatchNormalization", "HardSigmoid", "Mul", "Sigmoid"}
    | {"AveragePool", "GlobalAveragePool", "MaxPool", "LeakyRelu", "ResizeNearest"}
)

_POOLS = frozenset({"AveragePool", "GlobalAveragePool", "MaxPool"})

_X86 = frozenset({"x86_64", "amd64"})
_ARM = frozenset({"aarch64", "arm64"})

WEIGHT_BITS = 8
"""The most bits that a weight may have, whatever the target."""

_UP_TO_8 = tuple(range(2, 9))


@dataclass(frozen=True, kw_only=True)
class Grids:
    """The grids that activations may be on.

    Attributes:
        bits: Bits that they may have. Fewer than 8 are a Clip on the stored integers, which other
            runtimes than ONNX Runtime and OpenVINO have no form of.
        signed: Integers lie around 0 (int8) and not above it (uint8).
        symmetric: 0 is in the middle of every grid: zero point 0, where grids are signed. A ReLU is
            then kept in front of its grid, which does not end at 0.
        centred: Integers of a grid with 0 in its middle lie around 0 (int8), and others above it:
            around 0, a layer that pads has nothing to take off at the edges, and is faster.
        powers_of_two: Every step is one.
    """

    bits: tuple[int, ...] = _UP_TO_8
    signed: bool = False
    symmetric: bool = False
    centred: bool = False
    powers_of_two: bool = False


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What weights and biases look like: all are symmetric.

    Attributes:
        per_channel: Each output channel has a step of its own.
        powers_of_two: Every step is one, the bias's too.
        half_steps: Every step is a number of half precision.
        narrow_sums: The products of two neighbouring weights are summed in 16 bits, which must not
            saturate, see :mod:`spiq.planning.plan.pair_sums`.
        bias_bits: 32, on the step of the sums, or 8, on a step of its own, or 0 for floats.
    """

    per_channel: bool = True
    powers_of_two: bool = False
    half_steps: bool = False
    narrow_sums: bool = False
    bias_bits: int = 32


@dataclass(frozen=True, kw_only=True)
class Target:
    """A runtime's abilities.

    Attributes:
        name: What the user calls it.
        machines: Processors on which ONNX Runtime itself is the target; none where another runtime
            is. Only there has every layer to end in one of its integer kernels, and is the network
            to be kept from what its optimizer would do to operators in float.
        integer: Operators with an integer kernel. BatchNormalization stands for its integer form,
            a 1x1 depthwise convolution; ResizeNearest for Resize in mode ``nearest``.
        float_output: Layers whose integer kernel may end in float.
        grids: Of activations.
        weights: Of layers.
        bounds: Activations whose bound the end of a grid may stand for.
        factors: Where float operators read or write tensors whose channels have scales of their
            own, a Mul converts. Without, such tensors have one scale.
        shortcuts: A sum takes the result of a layer in float and its other operand from integers.
        stored_before: Operators in front of which integers are stored, if they are behind.
        carried: Operators behind which what they move is not stored anew: the runtime carries its
            grid along.
        spared: Share of a network's work that may stay in float for the sake of accuracy.
        whole: All that is known of is stored on integers, what float operators read and write too.
        static: Sizes have to be fixed.
        half: What stays in float is half precision, but for the network's inputs and outputs.
        opset: The least that has the operators of its form.
        dense_groups: Grouped convolutions are faster dense where that takes at most so many weights
            per tap and group, channels in blocks of 16.
        channel_multiple: Kernels are made for multiples of so many channels, and others are padded.
        slow_prelu: PRelu is slower than the products and the maximum that it stands for.
    """

    name: str
    machines: frozenset[str] = frozenset()
    integer: frozenset[str] = _INTEGER
    float_output: frozenset[str] = frozenset({"Gemm", "MatMul"})
    grids: Grids = field(default_factory=Grids)
    weights: Weights = field(default_factory=Weights)
    bounds: frozenset[str] = frozenset({"Clip", "Relu"})
    factors: bool = True
    shortcuts: bool = False
    stored_before: frozenset[str] = frozenset()
    carried: frozenset[str] = frozenset()
    spared: float = 0.04
    whole: bool = False
    static: bool = False
    half: bool = False
    opset: int = 0
    dense_groups: int = 0
    channel_multiple: int = 0
    slow_prelu: bool = False

    @property
    def fuses_here(self) -> bool:
        """Whether ONNX Runtime is the target's runtime."""
        return bool(self.machines)

    @property
    def is_here(self) -> bool:
        """Whether this machine is one of the target's, so that times measured here count."""
        return platform.machine().lower() in self.machines


ONNXRUNTIME = Target(
    name="onnxruntime",
    machines=_X86,
    weights=Weights(narrow_sums=True),
    dense_groups=640,
    channel_multiple=16,
    slow_prelu=True,
)
PORTABLE = Target(name="portable", machines=_X86 | _ARM, weights=Weights(narrow_sums=True))
ONNXRUNTIME_ARM = Target(
    name="onnxruntime-arm", machines=_ARM, grids=Grids(signed=True), slow_prelu=True
)
OPENVINO = Target(
    name="openvino",
    integer=_INTEGER - {"BatchNormalization", "HardSigmoid", "Mul", "Sigmoid"},
    float_output=_LAYERS,
    grids=Grids(centred=True),
    weights=Weights(narrow_sums=True),
    factors=False,
    shortcuts=True,
    stored_before=frozenset({"GlobalAveragePool", "MaxPool"}),
    carried=(_MOVERS - {"Pad"}) | {"MaxPool"},
    spared=0.01,
)
TENSORRT = Target(
    name="tensorrt",
    integer=_LAYERS | (_MOVERS - {"Pad"}) | _POOLS,
    float_output=_LAYERS,
    grids=Grids(bits=(8,), signed=True, symmetric=True),
    weights=Weights(bias_bits=0),
    factors=False,
    shortcuts=True,
)
TENSORRT_FP16 = replace(
    TENSORRT,
    name="tensorrt-fp16",
    weights=replace(TENSORRT.weights, half_steps=True),
    half=True,
    opset=19,
)
VITIS = Target(
    name="vitis",
    integer=(_LAYERS - {"MatMul"}) | _MOVERS | _POOLS | {"Add", "ResizeNearest"},
    grids=Grids(bits=(8,), signed=True, symmetric=True, powers_of_two=True),
    weights=Weights(per_channel=False, powers_of_two=True, bias_bits=8),
    factors=False,
)
QNN = Target(
    name="qnn",
    float_output=frozenset(),
    grids=Grids(bits=(8, 16)),
    factors=False,
    whole=True,
    static=True,
)

TARGETS = {
    target.name: target
    for target in (
        *(ONNXRUNTIME, PORTABLE, ONNXRUNTIME_ARM),
        *(OPENVINO, TENSORRT, TENSORRT_FP16, QNN, VITIS),
    )
}

AUTO = "auto"
"""Stands for the target of the machine at hand."""


def of_this_machine(machine: str | None = None) -> str:
    """Return the name of the target for ONNX Runtime on a CPU: this one's, if nothing is said.

    >>> of_this_machine("x86_64"), of_this_machine("arm64"), of_this_machine("riscv64")
    ('onnxruntime', 'onnxruntime-arm', 'portable')

    Args:
        machine: The processor, as :func:`platform.machine` calls it.
    """
    machine = (platform.machine() if machine is None else machine).lower()
    fitting = (one.name for one in (ONNXRUNTIME, ONNXRUNTIME_ARM) if machine in one.machines)
    return next(fitting, PORTABLE.name)


def bits_text(bits: tuple[int, ...]) -> str:
    """Say which bits there are.

    >>> bits_text((2, 3, 4)), bits_text((8, 16)), bits_text((8,))
    ('2 to 4', '8 or 16', '8')
    """
    close = [count for count in bits if count <= 8]
    apart = [str(count) for count in bits if count > 8]
    few = f"{close[0]} to {close[-1]}" if len(close) > 1 else str(close[0])
    return " or ".join([few, *apart])
