"""An engine without processes of its own: as quick, and as easy to spoil, as other code."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from spiq.engine.job import Ended, Job


class Killed(BaseException):
    """What stands for the death of a process."""


@dataclass
class InHere:
    """Does one job after the other, in this process."""

    jobs: int = 1
    threads: int = 1
    ends: list[Ended] = field(default_factory=list)
    """How the next jobs end before they have told anything."""
    done: list[Job] = field(default_factory=list)

    def attend(self, waiting: deque[Job]) -> Iterator[tuple[Job, object]]:
        while waiting:
            job, messages = waiting.popleft(), []
            ended = self.ends.pop() if self.ends else self._do(job, messages.append)
            yield from ((job, message) for message in messages)
            yield job, ended

    def _do(self, job: Job, tell: Callable[[object], None]) -> Ended:
        self.done.append(job)
        try:
            job.do(job.given, tell)
        except Killed as error:
            return Ended(str(error), "died")
        except Exception as error:
            return Ended(str(error), "raised")
        return Ended()


def opened_here(engine: InHere) -> Callable[..., AbstractContextManager[InHere]]:
    """Return what stands for :func:`spiq.engine.choose.opened`."""

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[InHere]:
        yield engine

    return opened
