"""Jobs that end in every way there is."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

Tell = Callable[[Any], None]


def counts(number: int, tell: Tell) -> None:
    for i in range(number):
        tell(i)


def kills_itself(number: int, tell: Tell) -> None:
    tell("here")
    time.sleep(0.5)  # an actor answers with what it was told before
    os.kill(os.getpid(), number)


def leaves(code: int, tell: Tell) -> None:
    tell("here")
    print("the last words", file=sys.stderr, flush=True)
    os._exit(code)


def raises(words: str, tell: Tell) -> None:
    tell("here")
    raise ValueError(words)


def waits(seconds: float, tell: Tell) -> None:
    tell(os.getpid())
    time.sleep(seconds)


def tells_for_ever(_: object, tell: Tell) -> None:
    while True:
        tell(os.getpid())
        time.sleep(0.05)


def environment(names: tuple[str, ...], tell: Tell) -> None:
    for name in names:
        tell(os.environ.get(name))
