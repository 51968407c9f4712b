"""Processes that end in every way there is, played by small programs."""

import os
import sys
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from spiq.demo import card_path
from spiq.sweep import processes
from spiq.sweep.cells import Bits, Cell, subjects
from spiq.sweep.messages import Done, Job, Step
from spiq.sweep.processes import Ended, attend

TELL = "import os, pickle, sys; out = sys.stdout.buffer; pickle.dump('here', out); out.flush(); "


def made(number: int = 1) -> deque[Job]:
    (subject,) = subjects([str(card_path())], limit=1)
    cells = [Cell(subject=subject, method="static", bits=Bits(8, i + 3)) for i in range(number)]
    return deque(Job(cells=(cell,), folder=Path()) for cell in cells)


def play(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, "-c", program))


def told(waiting: deque[Job], jobs: int = 2) -> list[Any]:
    return [message for _, message in attend(waiting, jobs=jobs)]


@pytest.mark.process
@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("", ""),
        ("os._exit(0)", ""),
        ("os._exit(3)", "exit code 3"),
        ("print('one', file=sys.stderr); sys.exit('the last words')", "the last words"),
        pytest.param(
            "os.kill(os.getpid(), 9)",
            "its process was killed by SIGKILL: was there too little memory?",
            marks=pytest.mark.skipif(os.name != "posix", reason="signals"),
        ),
        pytest.param(
            "os.kill(os.getpid(), 6)",
            "its process was killed by SIGABRT",
            marks=pytest.mark.skipif(os.name != "posix", reason="signals"),
        ),
    ],
)
def test_ends(program: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, TELL + program)
    assert told(made()) == ["here", Ended(problem)]


@pytest.mark.process
def test_what_is_no_message_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, TELL + "print('no message', flush=True)")
    first, second = told(made())
    assert first == "here"
    assert isinstance(second, Ended)


@pytest.mark.process
def test_several(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, TELL)
    waiting, (late,) = made(3), made()
    heard = []
    for job, message in attend(waiting, jobs=2):
        heard.append((job, message))
        if len(heard) == 1:
            waiting.append(late)
    assert len(heard) == 8
    assert {message for _, message in heard} == {"here", Ended("")}


@pytest.mark.process
def test_closing_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, TELL + "import time; time.sleep(60)")
    started = []
    start = processes._start

    def noted(job: Job, running: Any, inbox: Any) -> None:
        start(job, running, inbox)
        started.append(list(running.values())[-1].process)

    monkeypatch.setattr(processes, "_start", noted)
    messages = attend(made(3), jobs=2)
    next(messages)
    messages.close()
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)


def test_real(tmp_path: Path) -> None:
    (job,) = made()
    *steps, done, ended = told(deque([Job(cells=job.cells, folder=tmp_path)]))
    assert ended == Ended("")
    assert isinstance(done, Done)
    assert (done.cell, done.result.state) == (job.cells[0], "done")
    assert all(isinstance(step, Step) for step in steps)
    assert list(tmp_path.iterdir()) == []
