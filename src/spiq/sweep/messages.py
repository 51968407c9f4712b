"""What a process of a sweep is asked to do, and what it tells."""

from dataclasses import dataclass
from pathlib import Path

from spiq.errors import SpiqError
from spiq.sweep.cells import Cell, Subject
from spiq.sweep.results import SweepCell, SweepLatency, SweepScore


@dataclass(frozen=True, kw_only=True)
class Task:
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


def with_score(cell: Cell, score: SweepScore) -> SweepCell:
    """Return the result of a cell that was done."""
    return _result(cell, "done", "", score)


def without_score(cell: Cell, state: str, error: Exception | str) -> SweepCell:
    """Return the result of a cell that has a reason instead of a score, in one line."""
    text = " ".join(str(error).split()).removeprefix("model 2: ")
    if isinstance(error, Exception) and not isinstance(error, SpiqError):
        text = f"{type(error).__name__}: {text}"
    return _result(cell, state, text, None)


def _result(cell: Cell, state: str, reason: str, score: SweepScore | None) -> SweepCell:
    return SweepCell(
        network=cell.subject.name,
        method=cell.method,
        weight_bits=cell.bits.weight,
        activation_bits=cell.bits.activation,
        state=state,
        reason=reason,
        score=score,
    )
