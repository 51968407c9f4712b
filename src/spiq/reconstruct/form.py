"""The quantized form of a network while it is learned: its grids, its layers, and what reads what.

What is learned of grids, see :mod:`spiq.reconstruct.grids`; of layers,
:mod:`spiq.reconstruct.weights`.
"""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import nn

from spiq.planning.plan.resolve import StoredTensor
from spiq.reconstruct.grids import Step, Stored, Zero
from spiq.reconstruct.weights import Weight


class Learned:
    """The quantized form of a network.

    Attributes:
        shared: Steps and zero points of grids, which several tensors may have in common.
        tensors: The stored tensors, by name.
        weights: The layers, by name.
        read: Names of the tensors that layers read, by that of the layer.
        coins: Where it is tossed whether a number is stored or stays as it was; None: all are.
    """

    def __init__(
        self,
        tensors: Mapping[str, StoredTensor],
        grids: Mapping[str, tuple[str, ...]],
        weights: Mapping[str, Weight],
        read: Mapping[str, str],
        bounds: Mapping[str, float],
        device: str,
    ) -> None:
        """Begin with what rounding in one go found.

        Args:
            tensors: How tensors are stored, by name.
            grids: What each of them takes from ``shared``: the key of a step and, if that is to be
                learned, of a zero point.
            weights: The layers, by name.
            read: Names of the tensors that layers read, by that of the layer.
            bounds: Upper bounds that the ends of grids stand for, as of ReLU6, by tensor.
            device: Where it is learned.
        """
        self.grids, self.weights, self.read = grids, weights, read
        self.shared: dict[str, nn.Module] = {}
        self.tensors: dict[str, Stored] = {}
        for name, tensor in tensors.items():
            kinds: tuple[type[nn.Module], ...] = (Step, Zero)
            own = [
                self.shared.setdefault(key, kind().to(device))
                for kind, key in zip(kinds, grids[name], strict=False)
            ]
            self.tensors[name] = Stored(tensor, *own).to(device)
            if name in bounds:
                self.tensors[name].bounded(bounds[name])
        self.coins: Coins | None = None

    def bound(self, keys: Iterable[str]) -> None:
        """Bring what is shared back into its bounds."""
        for key in keys:
            if isinstance(self.shared[key], Step):
                self.shared[key].bound()

    def start(self) -> Iterator[object]:
        """Yield all that says what the network is to begin with."""
        yield self.grids
        for name, tensor in self.tensors.items():
            yield from (name, tensor.grid, tensor.unit)
        for name, weight in self.weights.items():
            yield from (name, weight.qmax, weight.unit, *weight.state_dict().values())

    def layer(self, name: str) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return a layer's weight and bias."""
        found = self.weights.get(name)
        return None if found is None else found(self.tensors[self.read[name]].unit_step)

    def stored(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor as it is stored."""
        y = self.tensors[name](x)
        return y if self.coins is None else self.coins.mixed(y, x)


class Coins:
    """Coins that fall on one side with some probability: a long row of them, read from anywhere.

    Drawing them anew for every tensor would take longer than all else. They are 0 and 1, not
    booleans, by which numbers are taken from two tensors six times as slowly.
    """

    def __init__(self, share: float, generator: torch.Generator, device: str) -> None:
        """Take the share of numbers that stay as they were."""
        self.share, self.generator, self.device = share, generator, device
        self._row = torch.zeros(0)

    def mixed(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return y, with some of its numbers as they are in x (QDrop, ICLR 2022, eq. 9)."""
        if not self.share:
            return y
        if self._row.numel() < 2 * x.numel():
            drawn = torch.rand(2 * x.numel(), generator=self.generator) < self.share
            self._row = drawn.to(self.device, torch.float32)
        room = self._row.numel() - x.numel() + 1
        start = int(torch.randint(room, (), generator=self.generator))
        return torch.lerp(y, x, self._row[start : start + x.numel()].view(x.shape))
