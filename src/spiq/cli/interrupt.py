"""Ctrl-C: one exit code and no traceback.

The first one raises KeyboardInterrupt, so that what is under way puts things right. It may get
lost (an extension module that is just being imported makes an ImportError of it), or be late
(nothing is raised while the runtime computes): a thread gives it a moment, then leaves. A second
one, and one while the program ends, leave at once. No half-written file stays behind then either,
see :mod:`spiq.io.atomic`.
"""

import os
import signal
import sys
import threading
import time
from types import FrameType

INTERRUPTED = 130
_PATIENCE = 2.0
"""Seconds to put things right in."""

_SHOW_CURSOR = "\x1b[?25h"
_came = threading.Event()


def watch() -> None:
    """Watch for Ctrl-C until the process ends; only in its main thread."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGINT, _first)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(reading,), name="ctrl-c", daemon=True).start()


def came() -> bool:
    """Return whether there was one."""
    return _came.is_set()


def end() -> None:
    """Let Ctrl-C end the process at once from now on, where it is watched for."""
    if signal.getsignal(signal.SIGINT) is _first:
        signal.signal(signal.SIGINT, _leave)


def _first(number: int, frame: FrameType | None) -> None:
    _came.set()
    signal.signal(signal.SIGINT, _leave)
    raise KeyboardInterrupt


def _wait(reading: int) -> None:
    while signal.SIGINT not in os.read(reading, 1):
        pass
    time.sleep(_PATIENCE)
    _leave()


def _leave(number: int = signal.SIGINT, frame: FrameType | None = None) -> None:
    if sys.stderr is not None and sys.stderr.isatty():  # a bar may have hidden it
        os.write(sys.stderr.fileno(), _SHOW_CURSOR.encode())
    os._exit(INTERRUPTED)
