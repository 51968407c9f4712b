"""Jobs on this machine, in processes that end in every way there is."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import played_jobs
import psutil
import pytest

from spiq.engine.job import Ended, Job
from spiq.engine.local import Local

pytestmark = pytest.mark.process
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals")


def told(*jobs: Job, at_a_time: int = 2) -> list[Any]:
    return [message for _, message in Local(at_a_time).attend(deque(jobs))]


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("job", "ended"),
    [
        (Job(played_jobs.raises, "no\nluck"), Ended("ValueError: no luck", "raised")),
        pytest.param(
            Job(played_jobs.leaves, 3),
            Ended("its process ended with EXIT(3): the last words", "died"),
            marks=POSIX,
        ),
        pytest.param(
            Job(played_jobs.kills_itself, 9),
            Ended("its process ended with SIGKILL(-9): was there too little memory?", "died"),
            marks=POSIX,
        ),
        pytest.param(
            Job(played_jobs.kills_itself, 6),
            Ended("its process ended with SIGABRT(-6)", "died"),
            marks=POSIX,
        ),
    ],
)
def test_ends(job: Job, ended: Ended) -> None:
    assert told(job) == ["here", ended]


def test_the_death_of_one_is_its_own() -> None:
    fine, bad = Job(played_jobs.counts, 3), Job(played_jobs.leaves, 1)
    found = list(Local(2).attend(deque([Job(played_jobs.waits, 1.0), bad, fine])))
    assert [message for job, message in found if job is fine] == [0, 1, 2, Ended()]
    assert [ended.cause for _, ended in found if isinstance(ended, Ended)].count("died") == 1


def test_jobs_may_be_added() -> None:
    late, heard = Job(played_jobs.counts, 1), []
    waiting = deque([Job(played_jobs.counts, 1)])
    for _, message in Local(2).attend(waiting):
        heard.append(message)
        if len(heard) == 1:
            waiting.append(late)
    assert heard == [0, Ended(), 0, Ended()]


def test_closing_ends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    messages = Local(2).attend(deque([Job(played_jobs.waits, 60.0)] * 3))
    pids = [next(messages)[1] for _ in range(2)]
    messages.close()
    assert len(set(pids)) == 2
    assert all(map(gone, pids))
    assert list(tmp_path.glob("spiq-*")) == []


def test_threads_of_a_job() -> None:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    job = Job(played_jobs.environment, names)
    assert [m for _, m in Local(1, threads=3).attend(deque([job]))] == ["3", "3", Ended()]


@POSIX
def test_nobody_is_left_where_the_first_process_is_killed() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import played_jobs\n"
        "from collections import deque; from spiq.engine.job import Job\n"
        "from spiq.engine.local import Local\n"
        "for _, pid in Local(1).attend(deque([Job(played_jobs.tells_for_ever, None)])):\n"
        "    print(pid, flush=True)\n"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        pid = int(first.stdout.readline())
        first.send_signal(signal.SIGKILL)
    end = time.monotonic() + 10
    while not gone(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert gone(pid)
