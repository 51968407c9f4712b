"""Sweeps without processes of their own: as quick, and as easy to spoil, as other code."""

from collections import deque
from collections.abc import Callable, Iterator

import pytest

from spiq import pipeline
from spiq.sweep.messages import Job, Message
from spiq.sweep.processes import Ended
from spiq.sweep.worker import work


class Killed(BaseException):
    """What stands for the death of a process."""


def attend(waiting: deque[Job], *, jobs: int) -> Iterator[tuple[Job, Message | Ended]]:
    """Do what :func:`spiq.sweep.processes.attend` does, one job after the other, in here."""
    while waiting:
        job, messages, problem = waiting.popleft(), [], ""
        try:
            work(job, messages.append)
        except (Exception, Killed) as error:
            problem = str(error)
        yield from ((job, message) for message in messages)
        yield job, Ended(problem)


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have grids run in here."""
    monkeypatch.setattr("spiq.sweep.run.attend", attend)


def spoil(monkeypatch: pytest.MonkeyPatch, method: str, what: Callable[[], object]) -> None:
    """Have ``what`` happen where a method is to quantize."""
    real = pipeline.quantize

    def quantize(model, config, **rest):
        if config.method == method:
            what()
        return real(model, config, **rest)

    monkeypatch.setattr(pipeline, "quantize", quantize)
