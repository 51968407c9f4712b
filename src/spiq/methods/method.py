"""What makes a quantization method: plain settings that the steps read.

No step asks for a method's name; everything in which methods differ is a field here.
"""

from dataclasses import dataclass

WIDTHS = tuple(2.5 * 10 ** (place / 16) for place in range(17))
"""Widths of a range, in standard deviations, that the expected error chooses from."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A quantization method.

    Attributes:
        name: What the user calls it.
        alphas: Choices of how far scales go from one per tensor (0) to one per channel (1), see
            :mod:`spiq.planning.choose.scales`.
        widths: Choices of lambda, the ends of a range in standard deviations.
        rounding: How weights are rounded, see :mod:`spiq.rewriting.rounding`.
        bias_correction: Biases make up for what rounding does to the mean.
        shared_steps: Operands and result of a sum may share a step, see
            :mod:`spiq.planning.choose.scales`.
        equalizes: Layers are equalized first, see :mod:`spiq.passes.equalize`.
        relieves: Layers may stay in float where that spares much error and costs little, see
            :mod:`spiq.planning.choose.relief`.
        dynamic: Ranges of activations are measured as the network runs, see
            :mod:`spiq.emit.dynamic`; ``alphas`` and ``widths`` then have no say.
    """

    name: str
    alphas: tuple[float, ...] = (0.0,)
    widths: tuple[float, ...] = WIDTHS
    rounding: str = "nearest"
    bias_correction: bool = True
    shared_steps: bool = False
    equalizes: bool = False
    relieves: bool = False
    dynamic: bool = False
