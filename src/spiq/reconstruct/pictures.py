"""Pictures made from what is known of a network's layers.

Synthetic pictures of many kinds are moved by gradient until the mean and the deviation of every
layer's outputs are those that BatchNorm states: statistics over all pictures together, of which a
batch is a part (Li et al.: "DGH: Data-Free Quantization with Global Statistics", WACV 2025), not of
every batch for itself. What is not stated counts the less, the more it is in doubt.

It is not pixels that are moved but waves, long ones farther than short ones, as photographs have
them: equal moves of all pixels are noise, which misses the moments by more at first than the
pictures that were drawn, and what is learned on it fits nothing else (docs/experiments.md).
Pictures are shifted and mirrored as they are shown, and strided convolutions see them shifted by a
pixel (Jeon et al.: "Genie", CVPR 2023), or they would fill with patterns that only one sampling
grid can see.

A loss that asks for certain classes as well makes them worse: on ResNet-20 and MobileNetV1 the
moments are missed three times as far, and what is learned on such pictures loses accuracy
(docs/experiments.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi

import numpy as np
import onnx_ir as ir
import torch
from torch.nn import functional as F

from spiq.graph.query import weight_nodes
from spiq.reconstruct.program import Program
from spiq.stats.channel import Array, ChannelStats

_RATE, _BETAS = 0.01, (0.9, 0.99)
"""Of Adam, in shares of the input's range."""

_FALL = 1.5
"""Power of its frequency by which a wave moves less. Photographs' amplitudes fall by the first."""

_SHIFT = 2
"""Pixels by which a picture is shifted at most."""

_WORST = 25.0
"""Squared deviations beyond which a channel counts no more: it cannot be met."""

_FLOOR, _DOUBTED = 0.01, 0.1
"""Share of a layer's mean variance that is added to each channel's, and the doubt at which a
channel counts half."""


@dataclass(frozen=True)
class Aims:
    """Mean and deviation that channels ought to have: those of all tensors in one row.

    Attributes:
        axes: For each tensor the axes over which its channels are alike, by name.
        mean: The means, shape (K,).
        deviation: The deviations, shape (K,).
        weight: How much each counts, shape (K,); all together 1 where nothing is in doubt.
    """

    axes: Mapping[str, tuple[int, ...]]
    mean: torch.Tensor
    deviation: torch.Tensor
    weight: torch.Tensor

    def moments(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Return the mean of x and of x^2 per channel, shape (2, C)."""
        axes = self.axes[name]
        return torch.stack([x.mean(axes).reshape(-1), x.square().mean(axes).reshape(-1)])

    def missed(self, moments: torch.Tensor) -> torch.Tensor:
        """Return by how much they are missed, in squared deviations; moments of shape (2, K)."""
        mean, square = moments
        deviation = (square - mean.square()).clamp_min(1e-12).sqrt()
        off = ((mean - self.mean) / self.deviation).square()
        off = off + (deviation / self.deviation - 1).square()
        return (off.clamp_max(_WORST) * self.weight).sum()


def aims_of(graph: ir.Graph, stats: Mapping[ir.Value, ChannelStats], device: str) -> Aims | None:
    """Return what layers' outputs ought to be like: as stated, or as observed with its doubt.

    What was only carried on by rules is no aim: sums of channels that are not independent have more
    variance than rules know, and pictures that miss it by that are poor (ResNet-20's logits: a
    tenth of the variance that real images give them). None where nothing is known.
    """
    known = {
        str(value.name): stats[value]
        for node in weight_nodes(graph)
        for value in node.outputs[:1]
        if value in stats and stats[value].source in ("norm", "synthetic", "data")
        and stats[value].layout[:1] == (1,)
    }  # fmt: skip
    if not known:
        return None
    rows = [_row(told, 1 / len(known)) for told in known.values()]
    joined = (np.concatenate(arrays) for arrays in zip(*rows, strict=True))
    return Aims(
        {name: _shared(told) for name, told in known.items()},
        *(torch.tensor(array, dtype=torch.float32, device=device) for array in joined),
    )


def _shared(told: ChannelStats) -> tuple[int, ...]:
    return tuple(axis for axis, size in enumerate(told.layout) if size == 1)


def _row(told: ChannelStats, share: float) -> tuple[Array, Array, Array]:
    """Return mean, deviation and weight of a tensor's channels."""
    floor = _FLOOR * told.var.mean() + 1e-12
    weight = share / told.mean.size / (1 + (told.doubt / _DOUBTED) ** 2)
    return told.mean.reshape(-1), np.sqrt(told.var + floor).reshape(-1), weight.reshape(-1)


@dataclass(frozen=True)
class Maker:
    """Moves pictures.

    Attributes:
        program: The network.
        aims: What its tensors ought to be like.
        low: Low end of the input, to broadcast over it.
        high: High end of the same.
        batch: Pictures that are shown together.
        generator: Of the random numbers.
    """

    program: Program
    aims: Aims
    low: torch.Tensor
    high: torch.Tensor
    batch: int
    generator: torch.Generator

    def made(self, start: torch.Tensor, moves: int, tell: Callable[[float], None]) -> torch.Tensor:
        """Return pictures, moved.

        Args:
            start: The pictures to begin with.
            moves: How often each is moved.
            tell: Told which share of the moves is done.
        """
        span = self.high - self.low
        whole = ((start - self.low) / span).clamp(0, 1)
        parts = [_Waves(part) for part in whole.split(self.batch)]
        movers = [torch.optim.Adam([part.sizes], betas=_BETAS) for part in parts]
        shares = [len(part.start) / len(start) for part in parts]
        with torch.no_grad():
            seen = [self.seen(self.low + span * part.start, swing=False) for part in parts]
        total = sum(share * one for share, one in zip(shares, seen, strict=True))

        for move in range(moves):
            for place, (part, mover, share) in enumerate(zip(parts, movers, shares, strict=True)):
                mover.param_groups[0]["lr"] = _RATE * (1 + cos(pi * move / moves)) / 2
                found = self.seen(self.low + span * self._shown(part.moved()))
                others = total - share * seen[place]
                mover.zero_grad()
                self.aims.missed(others + share * found).backward()
                mover.step()
                seen[place] = found.detach()
                total = others + share * seen[place]
            tell((move + 1) / moves)
        return torch.cat([part.moved().detach() for part in parts])

    def seen(self, pictures: torch.Tensor, *, swing: bool = True) -> torch.Tensor:
        """Return the moments of the tensors that there are aims for, shape (2, K)."""
        values = self.program.begin({self.program.inputs[0]: pictures})
        found: dict[str, torch.Tensor] = {}
        for place, step in enumerate(self.program.steps):
            read = self.program.read(step, values)
            if swing and step.operator == "Conv" and max(step.get("strides", [1])) > 1:
                read[0] = self._swung(read[0])
            self.program.compute(step, read, values)
            for name in set(step.outputs) & self.aims.axes.keys():
                found[name] = self.aims.moments(name, values[name])
            if len(found) == len(self.aims.axes):
                break
            for name in filter(None, (*step.inputs, *step.outputs)):
                if self.program.last.get(name, place) <= place:
                    values.pop(name, None)
        return torch.cat([found[name] for name in self.aims.axes], dim=1)

    def _shown(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return pictures as they are shown: shifted and mirrored."""
        rows, columns = _axes(pictures)
        by = torch.randint(-_SHIFT, _SHIFT + 1, (2,), generator=self.generator).tolist()
        shown = torch.roll(pictures, by, (rows, columns))
        return shown.flip(columns) if torch.rand((), generator=self.generator) < 0.5 else shown

    def _swung(self, x: torch.Tensor | None) -> torch.Tensor | None:
        """Shift what a strided convolution reads by a pixel at most."""
        if x is None or x.ndim != 4 or min(x.shape[2:]) < 2:
            return x
        top, left = torch.randint(0, 3, (2,), generator=self.generator).tolist()
        wide = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return wide[:, :, top : top + x.shape[2], left : left + x.shape[3]]


class _Waves:
    """Pictures as they were drawn, and waves on top of them.

    Attributes:
        start: The pictures, in shares of the input's range.
        sizes: Of the waves, real and imaginary parts, before long ones are made larger.
    """

    def __init__(self, start: torch.Tensor) -> None:
        """Take pictures; there are no waves yet."""
        self.start, self.axes = start, _axes(start)
        rows, columns = (start.shape[axis] for axis in self.axes)
        frequency = torch.hypot(torch.fft.fftfreq(rows)[:, None], torch.fft.rfftfreq(columns))
        reach = frequency.clamp_min(1 / max(rows, columns)) ** -_FALL
        reach = (reach / reach.square().mean().sqrt()).to(start.device)
        self.reach = reach if self.axes == (2, 3) else reach[..., None]
        shape = list(start.shape)
        shape[self.axes[1]] = columns // 2 + 1
        self.sizes = torch.zeros(*shape, 2, device=start.device, requires_grad=True)

    def moved(self) -> torch.Tensor:
        """Return the pictures with the waves."""
        waves = torch.view_as_complex(self.sizes) * self.reach
        size = [self.start.shape[axis] for axis in self.axes]
        return (self.start + torch.fft.irfft2(waves, size, self.axes, "ortho")).clamp(0, 1)


def _axes(pictures: torch.Tensor) -> tuple[int, int]:
    """Return the axes of rows and columns."""
    return (1, 2) if pictures.shape[3] < pictures.shape[1] else (2, 3)
