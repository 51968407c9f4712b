"""The entries of a plan: how one tensor is stored, how one layer is rounded.

Plain data, in units of the prepared network. :mod:`spiq.planning.plan.json` reads and writes them;
:class:`spiq.planning.plan.values.Plan` holds them by name.
"""

from dataclasses import dataclass

Numbers = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class TensorPlan:
    """How one tensor is stored.

    Tensors on one grid have its bits and zero in common, tensors that share channels the alpha.
    Of these, all but the first name one that says it; here they hold the same values, too.

    Attributes:
        bits: Bits of the grid; storage is 8 bits, or 16.
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
