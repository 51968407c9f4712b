"""What a report tells of a network: plain data, gathered once.

Costs are powers of error at the network's outputs over the power of their signal, so that they add
up over layers, and a layer's share of their sum is what mending it would win.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from spiq.runtime.timing import Latency
from spiq.stats.channel import Array

CLASSES = (0.01, 0.03, 0.1, 0.3)
"""Ends of the classes of a layer's share of all error; each is about three times the one before."""


@dataclass(frozen=True, kw_only=True)
class Channels:
    """The channels of what a layer reads, in real units, one number each.

    Attributes:
        tensor: Name of the tensor.
        low, high: Ends of the range that was chosen.
        scale: By what each channel is divided before it is stored.
        doubt: Spread of the logarithm of each channel's deviation around what is expected.
        grid_low, grid_high: Ends of the grid, of what is divided.
        bits: Of the grid.
        seen_low, seen_high: Least and greatest number on synthetic pictures; None if not seen.
    """

    tensor: str
    low: Array
    high: Array
    scale: Array
    doubt: Array
    grid_low: float
    grid_high: float
    bits: int
    seen_low: Array | None = None
    seen_high: Array | None = None

    @property
    def spread(self) -> float:
        """Widest channel over the median one, before they are divided."""
        return _spread(self.high - self.low)

    @property
    def spread_stored(self) -> float:
        """Widest channel over the median one, as they are stored."""
        return _spread((self.high - self.low) / self.scale)


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """One layer, and what quantization does to it.

    Attributes:
        name: Of its node.
        operator: Its type.
        on_integers: Whether it runs on integers.
        reason: Why it does not; empty where it does.
        shape: Channels it reads and writes.
        parameters, macs: Their number; macs None where a size is open.
        statistics: Where those of its input come from.
        doubt: Mean doubt of its input's channels.
        bits: Of its weight; None in float.
        expected_cost: Error at the outputs that is expected to come by it; None in float.
        weight_cost: The part of it that its weight brings.
        seen_cost: The same, with the error of what it reads measured on synthetic pictures; None
            where that was not seen.
        clipped: Share of the error of what it reads that is clipping; None where it was not seen.
        widen: By what to widen the range of what it reads, if that would do; 1 where not.
        widening_wins: The share of the error of what it reads that would go by that.
        written_by: Name of the operator on integers that rounds what it reads; empty of an input.
        expected_snr_db: Its output's signal over the error that it adds.
        snr_db: Its output's signal over all error there, its own and what comes from in front,
            measured; None where the quantized network has no such tensor.
        float_ms, ms: Its time in float and quantized; None where the profiler shows no such node.
        channels: Of its input; None where that is not stored.
    """

    name: str
    operator: str
    on_integers: bool
    reason: str = ""
    shape: tuple[int, int] = (0, 0)
    parameters: int = 0
    macs: int | None = None
    statistics: str = "unknown"
    doubt: float = 0.0
    bits: int | None = None
    expected_cost: float | None = None
    weight_cost: float = 0.0
    seen_cost: float | None = None
    clipped: float | None = None
    widen: float = 1.0
    widening_wins: float = 0.0
    written_by: str = ""
    expected_snr_db: float | None = None
    snr_db: float | None = None
    float_ms: float | None = None
    ms: float | None = None
    channels: Channels | None = None

    @property
    def cost(self) -> float:
        """What it costs at the outputs: as seen where that is known, or else as expected."""
        return self.seen_cost if self.seen_cost is not None else self.expected_cost or 0.0


@dataclass(frozen=True, kw_only=True)
class OutputFacts:
    """How far one output is from float's.

    Attributes:
        name: Of the output.
        snr_db: Estimate of its ratio on real images; None where there is none.
        low, high: Where nine of ten outputs lie.
        why_not: Why there is none.
    """

    name: str
    snr_db: float | None = None
    low: float = 0.0
    high: float = 0.0
    why_not: str = ""


@dataclass(frozen=True, kw_only=True)
class InputFacts:
    """What is taken of one input: the range of its grid, that of the pictures, and on what grounds.

    Attributes:
        name: Of the input.
        low, high: Ends of the range of the grid.
        pictured: Ends of what pictures of the likeliest convention fill.
        said: What was assumed, and with what odds.
        sure: Whether nothing casts doubt on it.
    """

    name: str
    low: float
    high: float
    pictured: tuple[float, float]
    said: str
    sure: bool


@dataclass(frozen=True, kw_only=True)
class OtherTime:
    """Time of all operators of one type that are no layers."""

    operator: str
    float_ms: float
    ms: float


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that a report tells.

    Attributes:
        model, quantized: What the networks are called.
        command: The command that quantizes like this, word by word, without an output.
        method, target: Their names.
        bits: Such as W8A8.
        bytes_before, bytes_after: Size of the files.
        layers: In the order of execution.
        latency: Its time beside float's, measured in one run; None where it was not.
        outputs, inputs: One by one.
        notes: Assumptions made; those that cast doubt on the result are in ``warnings``.
        others: Where time goes beside the layers; empty where it was not measured.
        pictures: How many synthetic pictures were compared.
        own_plan: Whether the plan that the expectations are of is the one that was followed.
    """

    model: str
    quantized: str
    command: tuple[str, ...]
    method: str
    target: str
    bits: str
    bytes_before: int
    bytes_after: int
    layers: tuple[LayerFacts, ...]
    outputs: tuple[OutputFacts, ...]
    inputs: tuple[InputFacts, ...]
    latency: Latency | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    others: tuple[OtherTime, ...] = field(default=())
    pictures: int = 0
    own_plan: bool = True

    @property
    def cost(self) -> float:
        """What all layers cost together."""
        return sum(layer.cost for layer in self.layers)

    def share(self, layer: LayerFacts) -> float:
        """Return a layer's share of what all cost."""
        return layer.cost / self.cost if self.cost > 0 else 0.0

    def gain_db(self, layers: Iterable[LayerFacts]) -> float:
        """Return by how much the signal-to-noise ratio would rise without what some layers cost."""
        left = 1 - sum(map(self.share, layers))
        return float(-10 * np.log10(max(left, 1e-3)))

    @property
    def timed(self) -> bool:
        """Whether the profiler found the time of most layers."""
        return sum(layer.ms is not None for layer in self.layers) * 2 > len(self.layers)

    @property
    def integer_macs(self) -> float | None:
        """Share of the multiply-accumulates that run on integers; None where they are not known."""
        known = [layer for layer in self.layers if layer.macs is not None]
        whole = sum(layer.macs or 0 for layer in known)
        done = sum(layer.macs or 0 for layer in known if layer.on_integers)
        return done / whole if whole and len(known) == len(self.layers) else None


def _spread(width: Array) -> float:
    middle = float(np.median(width[width > 0])) if (width > 0).any() else 0.0
    return float(width.max()) / middle if middle > 0 else 1.0
