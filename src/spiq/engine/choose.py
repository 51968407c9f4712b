"""Which engine: ``local``, a Ray cluster by its address, or ``auto``, the cluster that there is.

On this machine as many jobs run at a time as there are threads and memory for; on a cluster that is
for Ray to say.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from spiq.engine.job import Engine
from spiq.errors import ConfigError
from spiq.value_checks import at_least

if TYPE_CHECKING:
    from spiq.engine.local import Local

LOCAL, AUTO, RAY = "local", "auto", "ray://"


@contextmanager
def opened(
    on: str = LOCAL,
    *,
    jobs: int | None = None,
    threads: int | None = None,
    memory: int | None = None,
) -> Iterator[Engine]:
    """Open an engine for as long as it is used.

    Args:
        on: ``local``, ``ray://HOST:PORT``, or ``auto``: the Ray cluster that ``RAY_ADDRESS`` names
            or that this machine belongs to, and this machine alone where there is none.
        jobs: At a time, at most; None: as many as there is room for.
        threads: Of each job; None: one, on this machine all where ``jobs`` leaves more.
        memory: Bytes of each job; None: not reckoned with.

    Raises:
        ConfigError: There is no such cluster, Ray is not installed, or a number makes no sense.
    """
    at_least(1, jobs=jobs, threads=threads, memory=memory)
    if on not in (LOCAL, AUTO) and not on.startswith(RAY):
        raise ConfigError(f"there is no engine {on!r}: choose local, auto or ray://HOST:10001")
    with ExitStack() as connection:
        if on != LOCAL and _connected(on, connection):
            from spiq.engine.cluster import Cluster

            yield Cluster(threads=threads or 1, memory=memory or 0, most=jobs)
            return
        yield _local(jobs, threads, memory)


def _connected(on: str, connection: ExitStack) -> bool:
    """Connect to a cluster; False where there is none, and none has to be."""
    try:
        from spiq.engine.cluster import connected
    except ImportError as error:
        if on == AUTO:
            return False
        raise ConfigError(f"--on {on} needs Ray: pip install 'spiq[ray]'") from error
    try:
        connection.enter_context(connected(on))
    except (ConnectionError, ValueError, ImportError) as error:
        if on == AUTO:
            return False
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"no Ray cluster answers at {on}: {reason}: start one by `ray start --head`"
        ) from error
    return True


def _local(jobs: int | None, threads: int | None, memory: int | None) -> "Local":
    import psutil

    from spiq.engine.local import Local

    cpus, total = _cpus(), psutil.virtual_memory().total
    if memory is not None and memory > total:
        raise ConfigError(f"a job of {memory} bytes: this machine has {total} bytes of memory")
    room = max(1, cpus // (threads or 1))
    if memory is not None:
        room = min(room, total // memory)
    at_a_time = jobs or room
    return Local(at_a_time, threads=threads or max(1, cpus // at_a_time))


def _cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
