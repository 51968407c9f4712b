"""What an engine is given, and what it tells.

    waiting jobs    ->    engine.attend    ->    (job, message), ..., (job, Ended)

A job is a function that lies at the top of a module, since another process has to find it, with one
argument and a function by which it tells how far it is, or what it found. Whatever becomes of it,
an :class:`Ended` is the last that is heard of it.
"""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Tell = Callable[[Any], None]

Cause = Literal["", "raised", "died", "lost"]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables by which a process is told how many threads its linear algebra may have."""


@dataclass(frozen=True, eq=False)
class Job:
    """Something to be done in another process, perhaps on another machine."""

    do: Callable[[Any, Tell], None]
    given: Any


@dataclass(frozen=True)
class Ended:
    """A job has ended."""

    problem: str = ""
    """How it failed, in one line; "": it did not."""
    cause: Cause = ""
    """``raised``: an error; ``died``: its process is gone; ``lost``: its machine is gone, which is
    not the job's own fault."""


class Engine(Protocol):
    """What does jobs."""

    @property
    def jobs(self) -> int:
        """How many at a time, about."""

    @property
    def threads(self) -> int:
        """Of each job."""

    def attend(self, waiting: deque[Job]) -> Generator[tuple[Job, Any]]:
        """Do all jobs; yield what they tell, and when each has ended.

        Jobs may be added to ``waiting`` on the way. Close the iterator to end all.
        """


def in_a_line(error: BaseException) -> str:
    """Say what was raised, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
