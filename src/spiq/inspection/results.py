"""What a command found, as plain frozen values: text and JSON are siblings over them."""

from dataclasses import dataclass, field

WARNING = "warning: "
"""What notes begin with that cast doubt on the result."""


@dataclass(frozen=True, kw_only=True)
class LayerResult:
    """What became of one layer (Conv, Gemm, MatMul, ConvTranspose) of the network."""

    name: str
    operator: str
    quantized: bool
    reason: str = ""
    """Why the layer stayed in float; empty where it did not."""
    in_channels: int = 0
    out_channels: int = 0
    parameters: int = 0
    macs: int | None = None
    """Multiply-accumulates of one image; None where a spatial size is dynamic."""
    statistics: str = ""
    """Where the statistics of the layer's input come from: norm, synthetic, propagated, input,
    constant or unknown."""
    bits: int | None = None
    """Of the weight; None in float."""
    spread: float | None = None
    """Largest over median per-channel range of the layer's input (1: all channels alike)."""
    expected_snr_db: float | None = None
    """Signal of the layer's output over the error that it is expected to add, in dB; None in
    float and before a plan is made."""
    expected_error: float | None = None
    """Power of the error that it is expected to cause at the network's outputs, relative to their
    signal: a number to compare layers by."""


@dataclass(frozen=True, kw_only=True)
class QuantizeResult:
    """What :func:`spiq.quantize` did."""

    method: str
    target: str
    weight_bits: int
    activation_bits: int
    layers: tuple[LayerResult, ...]
    bytes_before: int
    bytes_after: int
    seconds: float
    bits_per_weight: float
    """Mean over all weights of layers on integers."""
    packed_bytes: int
    """What all weights would take with each packed to its bits, biases and scales included."""
    snr_db: dict[str, float]
    """Signal-to-noise ratio of each output against float, in dB, on synthetic inputs."""
    no_snr: dict[str, str] = field(default_factory=dict)
    """Why an output that is not listed there has none."""
    notes: tuple[str, ...] = field(default=())
    """Assumptions that were made and things worth knowing, a sentence each; those that cast doubt
    on the result begin with ``WARNING``."""

    @property
    def quantized_layers(self) -> int:
        """Number of layers that run on integers."""
        return sum(layer.quantized for layer in self.layers)

    @property
    def float_layers(self) -> tuple[LayerResult, ...]:
        """The layers left in float."""
        return tuple(layer for layer in self.layers if not layer.quantized)


@dataclass(frozen=True, kw_only=True)
class InspectResult:
    """What ``spiq inspect MODEL`` shows: the layers before quantization."""

    model: str
    layers: tuple[LayerResult, ...]
    unknown_operators: tuple[str, ...] = ()
    """Operators without a statistics rule, as ``Operator 'node'``."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TensorComparison:
    """One tensor of the quantized network beside the float network's."""

    name: str
    producer: str
    """Operator and node that write the tensor in the float network."""
    snr_db: float
    cosine: float


@dataclass(frozen=True, kw_only=True)
class CompareResult:
    """What ``spiq inspect A B`` shows, tensors in the order of execution."""

    reference: str
    other: str
    tensors: tuple[TensorComparison, ...]
    unmatched: tuple[str, ...] = ()
    """Layer outputs of the float network that the other one does not have by name."""
