"""What a process of a sweep is asked to do, and what it tells."""

from dataclasses import dataclass
from pathlib import Path

from spiq.sweep.cells import Cell, Subject
from spiq.sweep.measures import SweepCell, SweepLatency


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process does."""

    cells: tuple[Cell, ...]
    """Of one network."""
    folder: Path
    threads: int = 1
    keep_models: bool = False
    """Leave the quantized networks in the folder, for their latency."""
    timing: bool = False
    """Measure the latency of cells that are done, and nothing else."""

    @property
    def subject(self) -> Subject:
        """The network."""
        return self.cells[0].subject


@dataclass(frozen=True)
class Step:
    """What a process does now, and how far it is; 0 of 0: nobody knows."""

    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Done:
    """A cell has been quantized and evaluated, or cannot be."""

    cell: Cell
    result: SweepCell


@dataclass(frozen=True)
class Timed:
    """A cell's latency is known."""

    cell: Cell
    latency: SweepLatency


Message = Step | Done | Timed
