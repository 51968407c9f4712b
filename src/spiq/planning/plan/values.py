"""The plan of a quantization: everything that was decided, and nothing that follows from it.

Analysis writes it, people may edit it, and :mod:`spiq.planning.plan.resolve` works out what it
means on a network. It is plain data, in units of the prepared network, with the hash of the model
that it was made for; it goes to JSON and back without loss, see :mod:`spiq.planning.plan.json`.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from spiq.errors import PlanError

Numbers = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class TensorPlan:
    """How one tensor is stored.

    Tensors on one grid have its bits and zero in common, tensors that share channels the alpha.
    Of these, all but the first name one that says it; here they hold the same values, too.

    Attributes:
        bits: Bits of the grid; storage is 8 bits.
        zero: Where on the grid 0 lies: 0 at its lower end, 1 at its upper end.
        low: Low end of the range of each channel, in real units, in the order of ``layout``.
        high: High end of the same.
        layout: The tensor's rank, 1 along batch and space: the shape of one number per channel.
        alpha: How far the scales go from one for all channels (0) to one for each (1). None where
            ``channel_scale`` says it, of this tensor or of the one that ``scale_of`` names.
        channel_scale: By what each channel is divided before it is stored; None where ``alpha``
            says it.
        grid_of: Name of the tensor that says bits and zero of the grid that this one is on.
        scale_of: Name of the tensor that says how the channels are scaled that this one shares.
        step_of: Name of a tensor whose step this one shares, so that sums of both are exact.
    """

    bits: int
    zero: float
    low: Numbers
    high: Numbers
    layout: tuple[int, ...]
    alpha: float | None = None
    channel_scale: Numbers | None = None
    grid_of: str | None = None
    scale_of: str | None = None
    step_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """How one layer's weight and bias are rounded.

    Attributes:
        bits: Bits of the weight: symmetric, one step per output channel.
        rounding: Name of the rounding.
        bias_correction: The bias makes up for what rounding does to the output's mean.
        reason: Why the layer got these bits; empty where all got the same.
        input_bits: Bits of the layer's input, where ranges are measured as the network runs; None
            where the input is stored as ``tensors`` says.
    """

    bits: int
    rounding: str = "nearest"
    bias_correction: bool = True
    reason: str = ""
    input_bits: int | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a quantization decides.

    Attributes:
        model_hash: Hash of the model that the plan was made for.
        version: Version of spiq that made the plan.
        method: Name of the method.
        target: Name of the target runtime.
        activation_bits: Bits of activations, where a tensor says nothing else.
        weight_bits: Bits of weights, where a layer says nothing else.
        inputs: Low and high end of each input, one number per channel or one for all.
        tensors: How each stored tensor is stored, by name.
        layers: How each quantized layer is rounded, by name.
        left_in_float: Why each other layer stays in float, by name. A layer named here stays in
            float even where ``layers`` names it.
        notes: Assumptions made, a sentence each.
    """

    model_hash: str
    version: str
    method: str
    target: str
    activation_bits: int
    weight_bits: int
    inputs: dict[str, tuple[Numbers, Numbers]]
    tensors: dict[str, TensorPlan]
    layers: dict[str, LayerPlan]
    left_in_float: dict[str, str]
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> str:
        """Return the plan as JSON, one tensor or layer to a line."""
        from spiq.planning.plan.json import write

        return write(self)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what :meth:`to_json` wrote, edited or not.

        Raises:
            PlanError: The text is not a plan.
        """
        from spiq.planning.plan.json import read

        return read(text)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Plan":
        """Read a plan from a file.

        Raises:
            PlanError: The file cannot be read or holds no plan.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"{path}: cannot read the plan: {error}") from error
        try:
            return cls.from_json(text)
        except PlanError as error:
            raise PlanError(f"{path}: {error}") from error
