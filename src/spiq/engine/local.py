"""Jobs on this machine, each in a process of its own, which loky starts and looks after.

What a job leaves in memory goes with its process, and one that dies takes no other along: an
executor of several processes is broken as a whole by the death of one, so each job has one of its
own. What a job tells comes through a pipe, whose end is the end of the job.

What a process writes beside that goes to a file, and its last line says why it died. Ctrl-C reaches
only the process that started the others; whatever ends :meth:`Local.attend` ends them all.
"""

import os
import re
import signal
import tempfile
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

from loky import ProcessPoolExecutor
from loky.backend import get_context, resource_tracker
from loky.process_executor import BrokenProcessPool

import spiq
from spiq.engine.job import THREADS, Ended, Job, in_a_line

_PATIENCE = 0.2
"""Seconds of waiting at a time: some platforms tell of Ctrl-C only in between."""

_CODES = re.compile(r"\{(.*)\}")
"""What loky says of the exit codes of its processes: ``{SIGKILL(-9)}``."""

_out: Connection
"""In a process that does a job: where what it tells goes to."""


@dataclass(frozen=True)
class Local:
    """This machine."""

    jobs: int
    threads: int = 1

    def attend(self, waiting: deque[Job]) -> Generator[tuple[Job, Any]]:
        """As :meth:`spiq.engine.job.Engine.attend`."""
        running: dict[Connection, _Running] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.jobs:
                    started = _start(waiting.popleft(), self.threads)
                    running[started.messages] = started
                for ready in wait(list(running), timeout=_PATIENCE):
                    assert isinstance(ready, Connection)
                    one = running[ready]
                    try:
                        message = ready.recv()
                    except Exception:  # cut off, or no message at all: the process is done with
                        del running[ready]
                        message = _end(one)
                    yield one.job, message
        finally:
            for left in running.values():
                left.executor.shutdown(kill_workers=True)
                left.close()


@dataclass(frozen=True)
class _Running:
    job: Job
    executor: ProcessPoolExecutor
    result: "Future[None]"
    messages: Connection
    errors: Path

    def close(self) -> None:
        self.messages.close()
        self.errors.unlink(missing_ok=True)


def _start(job: Job, threads: int) -> _Running:
    _watch_quietly()
    context = get_context("loky")
    reader, writer = context.Pipe(duplex=False)
    handle, errors = tempfile.mkstemp(prefix="spiq-", suffix=".log")
    os.close(handle)
    executor = ProcessPoolExecutor(
        max_workers=1,
        context=context,
        initializer=_begin,
        initargs=(writer, errors),
        env=_environment(threads),
    )
    with _deaf_to_interrupts():
        result = executor.submit(_do, job)
    writer.close()  # the process has the only other end now
    return _Running(job, executor, result, reader, Path(errors))


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes here: they never hear of Ctrl-C, and this one does when they have started.

    One that is interrupted half-way would say so on the terminal. Threads are not asked by Python.
    """
    if not hasattr(signal, "pthread_sigmask") or current_thread() is not main_thread():
        yield
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _watch_quietly() -> None:
    """Start what tidies up after loky, where it does not run yet; after Ctrl-C it would warn."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def _begin(writer: Connection, errors: str) -> None:
    """In a new process: libraries that print, print into a file."""
    global _out
    _out = writer
    handle = os.open(errors, os.O_WRONLY)
    os.dup2(handle, 1)
    os.dup2(handle, 2)


def _do(job: Job) -> None:
    try:
        job.do(job.given, _out.send)
    except BrokenPipeError:  # nobody listens any more
        os._exit(1)
    finally:
        _out.close()


def _end(ended: _Running) -> Ended:
    """Wait for a process; return how it ended."""
    try:
        error = ended.result.exception()
        ended.executor.shutdown(wait=False)
        if error is None:
            return Ended()
        if isinstance(error, BrokenProcessPool):
            return Ended(_death(str(error), _last_line(ended.errors)), "died")
        return Ended(in_a_line(error), "raised")
    finally:
        ended.close()


def _death(said: str, last: str) -> str:
    """Say how a process died, from what loky says of it and its last words."""
    found = _CODES.search(said)
    code = found[1] if found else "no exit code"
    if "SIGKILL" in code:
        return f"its process ended with {code}: was there too little memory?"
    return f"its process ended with {code}" + (f": {last}" if last else "")


def _last_line(path: Path) -> str:
    """Return what a process wrote last; what Python adds on a signal comes after it."""
    text = path.read_text(errors="replace").partition("Fatal Python error: ")[0]
    return next((line.strip() for line in reversed(text.split("\n")) if line.strip()), "")


def _environment(threads: int) -> dict[str, str]:
    """Return what a process has of its own: this spiq, and so many threads of linear algebra."""
    paths = [str(Path(spiq.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    return dict.fromkeys(THREADS, str(threads)) | {"PYTHONPATH": path}
