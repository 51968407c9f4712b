"""Sweeps without processes of their own: as quick, and as easy to spoil, as other code."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from spiq import pipeline
from spiq.engine.job import Ended, Job


class Killed(BaseException):
    """What stands for the death of a process."""


class InHere:
    """An engine like others, which does one job after the other, in this process."""

    jobs = threads = 1

    def attend(self, waiting: deque[Job]) -> Iterator[tuple[Job, object]]:
        while waiting:
            job, messages, ended = waiting.popleft(), [], Ended()
            try:
                job.do(job.given, messages.append)
            except Killed as error:
                ended = Ended(str(error), "died")
            except Exception as error:
                ended = Ended(str(error), "raised")
            yield from ((job, message) for message in messages)
            yield job, ended


@contextmanager
def opened(*_: object, **__: object) -> Iterator[InHere]:
    """Stand for :func:`spiq.engine.choose.opened`."""
    yield InHere()


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have grids run in here."""
    monkeypatch.setattr("spiq.sweep.run.opened", opened)


def spoil(monkeypatch: pytest.MonkeyPatch, method: str, what: Callable[[], object]) -> None:
    """Have ``what`` happen where a method is to quantize."""
    real = pipeline.quantize

    def quantize(model, config, **rest):
        if config.method == method:
            what()
        return real(model, config, **rest)

    monkeypatch.setattr(pipeline, "quantize", quantize)
