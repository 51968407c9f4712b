"""Several jobs at a time, each in a process of its own.

A process may fail, or be killed for its memory: that is told, and the others go on. Processes
are not in the terminal's foreground group, so that Ctrl-C reaches only the one that started them;
whatever ends :func:`attend` ends them all.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any

import spiq
from spiq.sweep.messages import Job, Message

COMMAND = (sys.executable, "-P", "-m", "spiq.sweep.worker")

_PATIENCE = 0.2
"""Seconds of waiting at a time: some platforms tell of Ctrl-C only in between."""


@dataclass(frozen=True)
class Ended:
    """A process has ended."""

    problem: str
    """How it failed, in one line; "": it did not."""


@dataclass(frozen=True)
class _Running:
    job: Job
    process: "subprocess.Popen[bytes]"
    errors: IO[bytes]


_Inbox = SimpleQueue[tuple[int, Message | None]]


def attend(waiting: deque[Job], *, jobs: int) -> Generator[tuple[Job, Message | Ended]]:
    """Do all jobs, ``jobs`` at a time; yield what they tell, and when each has ended.

    Jobs may be added to ``waiting`` on the way. Close the iterator to end early.
    """
    inbox: _Inbox = SimpleQueue()
    running: dict[int, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                _start(waiting.popleft(), running, inbox)
            try:
                number, message = inbox.get(timeout=_PATIENCE)
            except Empty:
                continue
            if message is not None:
                yield running[number].job, message
                continue
            ended = running[number]
            problem = _end(ended)
            del running[number]
            yield ended.job, Ended(problem)
    finally:
        for left in running.values():
            left.process.kill()
            _end(left)


def _start(job: Job, running: dict[int, _Running], inbox: _Inbox) -> None:
    errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=_environment(job.threads),
        process_group=0 if os.name == "posix" else None,
    )
    running[process.pid] = _Running(job, process, errors)
    Thread(target=_listen, args=(process, pickle.dumps(job), inbox), daemon=True).start()


def _listen(process: "subprocess.Popen[bytes]", job: bytes, inbox: _Inbox) -> None:
    """Hand the job over, and put messages into the inbox until there are no more; then None."""
    assert process.stdin is not None and process.stdout is not None
    try:
        with process.stdin as stream:
            stream.write(job)
        while True:
            inbox.put((process.pid, pickle.load(process.stdout)))
    except Exception:  # cut off, or not a message at all: either way the process is done with
        inbox.put((process.pid, None))


def _end(ended: _Running) -> str:
    """Wait for a process; return how it failed, "" if it did not."""
    assert ended.process.stdout is not None
    ended.process.stdout.close()
    code = ended.process.wait()
    with ended.errors as stream:
        stream.seek(0)
        lines = stream.read().decode(errors="replace").split("\n")
    if code == 0:
        return ""
    if code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        return f"its process was killed by {name}{_hint(-code)}"
    return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {code}")


def _hint(number: int) -> str:
    return ": was there too little memory?" if number == getattr(signal, "SIGKILL", 9) else ""


def _environment(threads: int) -> dict[str, str]:
    """Return the environment of a process: this spiq, and so many threads of linear algebra."""
    given: dict[str, Any] = dict(os.environ)
    paths = [str(Path(spiq.__file__).parents[1]), given.get("PYTHONPATH", "")]
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    path = os.pathsep.join(filter(None, paths))
    return given | dict.fromkeys(limits, str(threads)) | {"PYTHONPATH": path}
