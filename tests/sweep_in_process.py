"""Sweeps without processes of their own: as quick, and as easy to spoil, as other code."""

from collections import deque
from collections.abc import Callable, Iterator

import pytest

from spiq import pipeline
from spiq.sweep.messages import Message, Task
from spiq.sweep.processes import Ended
from spiq.sweep.worker import work


class Killed(BaseException):
    """What stands for the death of a process."""


def attend(waiting: deque[Task], *, jobs: int) -> Iterator[tuple[Task, Message | Ended]]:
    """Do what :func:`spiq.sweep.processes.attend` does, one task after the other, in here."""
    while waiting:
        task, messages, problem = waiting.popleft(), [], ""
        try:
            work(task, messages.append)
        except (Exception, Killed) as error:
            problem = str(error)
        yield from ((task, message) for message in messages)
        yield task, Ended(problem)


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
