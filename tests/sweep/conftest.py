"""A sweep of the shipped network in a folder of its own."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import sweep_in_process
from small_mobilenet import card_path
from spiq.sweep import cells
from spiq.sweep.run import Progress, run
from spiq.sweep.summary import SweepResult

Sweep = Callable[..., SweepResult]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Run a sweep of a few images in here, without latency where nothing else is asked for."""
    sweep_in_process.use(monkeypatch)
    monkeypatch.setattr("spiq.sweep.worker.SECONDS", 0.05)

    def made(
        methods: Sequence[str] = ("static",),
        bits: str = "W8A8",
        *,
        card: str | Path | None = None,
        limit: int = 4,
        latency: bool = False,
        force: bool = False,
        progress: Progress | None = None,
    ) -> SweepResult:
        return run(
            cells.subjects([str(card or card_path())], limit=limit),
            methods,
            cells.bits(bits, methods),
            folder=tmp_path / "out",
            jobs=1,
            latency=latency,
            force=force,
            progress=progress,
        )

    return made
