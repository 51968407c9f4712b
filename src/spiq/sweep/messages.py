"""What is asked of a job of a sweep, and what it tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from spiq.sweep.cells import Cell, Subject
from spiq.sweep.measures import SweepCell, SweepLatency


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one job does: some cells of one network."""

    cells: tuple[Cell, ...]
    threads: int = 1
    keep_models: bool = False
    """Hand over the quantized networks, for their latency."""
    models: Mapping[Cell, bytes] = field(default_factory=dict)
    """Quantized networks that were kept."""

    @property
    def subject(self) -> Subject:
        """The network."""
        return self.cells[0].subject


@dataclass(frozen=True)
class Step:
    """What a job does now, and how far it is; 0 of 0: nobody knows."""

    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Done:
    """A cell has been quantized and evaluated, or cannot be."""

    cell: Cell
    result: SweepCell
    model: bytes | None = None
    """The quantized network, where it is to be kept."""


@dataclass(frozen=True)
class Timed:
    """A cell's latency is known."""

    cell: Cell
    latency: SweepLatency


Message = Step | Done | Timed
