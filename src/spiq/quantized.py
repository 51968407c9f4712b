"""What a quantization gives: the model, the plan that was followed, and what was done."""

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from spiq.errors import ConfigError
from spiq.inspection.layers import LayerResult
from spiq.io.write import serialize, write
from spiq.planning.plan.values import Plan
from spiq.runtime.reference import results
from spiq.runtime.session import session
from spiq.runtime.timing import Latency

if TYPE_CHECKING:
    from spiq.emulation import Network


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
    """Signal-to-noise ratio of each output against float, in dB, as it is to be expected on real
    images; measured on synthetic ones, see :mod:`spiq.runtime.agreement`."""
    snr_interval_db: dict[str, tuple[float, float]] = field(default_factory=dict)
    """What it may be: nine of ten outputs lie between the ends."""
    no_snr: dict[str, str] = field(default_factory=dict)
    """Why an output that is not listed there has none."""
    latency: Latency | None = None
    """Its time beside the float network's; None where neither was timed, or both take no time to
    speak of."""
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


@dataclass(frozen=True)
class Quantized:
    """A quantized network.

    >>> import numpy as np
    >>> import spiq
    >>> from spiq.demo import model_path
    >>> result = spiq.quantize(model_path())
    >>> result.report.quantized_layers, result.report.bytes_after < result.report.bytes_before
    (7, True)
    >>> image = np.zeros((1, 3, 32, 32), np.float32)
    >>> result.run({"image": image})["logits"].shape
    (1, 10)

    Attributes:
        network: The network: as a graph where it is large, otherwise its bytes.
        plan: What was decided.
        report: What was done.
        source: Path of the float model, if it came from one.
    """

    network: bytes | ir.Model
    plan: Plan
    report: QuantizeResult
    source: str | None = None

    @property
    def model(self) -> bytes:
        """The serialized ONNX model.

        Raises:
            ModelError: It is larger than 2 GB: :meth:`save` writes it all the same.
        """
        return self.network if isinstance(self.network, bytes) else serialize(self.network)

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the model to ``path``, whole or not at all.

        Args:
            path: Where to.
            force: Overwrite even the float model.

        Raises:
            OutputError: The path cannot be written, or is that of the float model.
        """
        write(self.network, path, source=self.source, force=force)

    def run(self, inputs: dict[str, npt.NDArray[np.generic]]) -> dict[str, npt.NDArray[np.generic]]:
        """Run the model in ONNX Runtime; outputs by name.

        Raises:
            ModelError: The inputs do not fit.
        """
        return results(session(self.model), inputs, where="the quantized network")

    def to_torch(self, *, differentiable: bool = False) -> "Network":
        """Return the network as an ``nn.Module``, its integers emulated: no ONNX Runtime needed.

        It computes what the graph means, on the CPU or a GPU, and is called with the inputs in
        their order or by name. What a runtime stores is within two steps of its grids.

        Args:
            differentiable: Whether gradients pass through rounding as if it were not there
                (straight through), to the inputs and to whatever made them.

        Raises:
            UnsupportedError: PyTorch does not compute some operators here; they are named.
            ConfigError: PyTorch is not installed.
        """
        try:
            from spiq.emulation import Network
        except ImportError as error:
            raise ConfigError("to_torch needs PyTorch: pip install 'spiq[torch]'") from error
        proto = onnx.load_from_string(self.model)
        return Network(ir.serde.deserialize_model(proto), differentiable=differentiable)
