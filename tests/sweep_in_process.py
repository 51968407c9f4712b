"""Sweeps without processes of their own: as quick, and as easy to spoil, as other code."""

from collections.abc import Callable

import pytest

from engine_in_process import InHere, opened_here
from spiq import pipeline


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have grids run in here."""
    monkeypatch.setattr("spiq.sweep.run.opened", opened_here(InHere()))


def spoil(monkeypatch: pytest.MonkeyPatch, method: str, what: Callable[[], object]) -> None:
    """Have ``what`` happen where a method is to quantize."""
    real = pipeline.quantize

    def quantize(model, config, **rest):
        if config.method == method:
            what()
        return real(model, config, **rest)

    monkeypatch.setattr(pipeline, "quantize", quantize)
