"""Ctrl-C: one exit code, no traceback, at whatever moment it comes.

The first one raises KeyboardInterrupt, so that what is under way puts things right. It may get
lost: an extension module that is just being imported makes an ImportError of it, and a destructor
can only report it. So it is remembered; and one that a destructor swallowed, a second one, and one
while the program ends leave at once. It may also be late: nothing is raised while the runtime
computes. A thread gives it a moment, then leaves. No half-written file stays behind then either,
see :mod:`spiq.io.atomic`.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:  # little is imported while Ctrl-C is not watched for
    from types import FrameType
    from typing import Any

INTERRUPTED = 130
_PATIENCE = 2.0
"""Seconds to put things right in."""

_SHOW_CURSOR = "\x1b[?25h"


class Interrupts:
    """Watches for Ctrl-C while its block runs.

    Attributes:
        came: Whether there was one.
    """

    def __init__(self, *, forever: bool) -> None:
        """Watch nothing yet; ``forever`` goes on to the end of the process."""
        self.came = False
        self._forever = forever
        self._watched = False
        self._before: Any = None

    def __enter__(self) -> None:
        with suppress(ValueError):  # in another thread than the main one it never arrives
            self._before = signal.signal(signal.SIGINT, self._came)
            self._watched = True
            self._reports, sys.unraisablehook = sys.unraisablehook, self._swallowed
        if self._watched and self._forever:
            _watch()

    def __exit__(self, *_: object) -> None:
        if not self._watched:
            return
        if self._forever:
            signal.signal(signal.SIGINT, _leave)
        else:
            signal.signal(signal.SIGINT, self._before)
            sys.unraisablehook = self._reports

    def _came(self, number: int, frame: "FrameType | None") -> None:
        self.came = True
        signal.signal(signal.SIGINT, _leave)
        raise KeyboardInterrupt

    def _swallowed(self, report: "sys.UnraisableHookArgs") -> None:
        if self.came and report.exc_type is KeyboardInterrupt:
            _leave()
        self._reports(report)


def _watch() -> None:
    """Start a thread that hears of Ctrl-C at once, also while the main thread computes."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def wait() -> None:
        while signal.SIGINT not in os.read(reading, 1):
            pass
        time.sleep(_PATIENCE)
        _leave()

    threading.Thread(target=wait, name="ctrl-c", daemon=True).start()


def _leave(number: int = signal.SIGINT, frame: "FrameType | None" = None) -> None:
    if sys.stderr is not None and sys.stderr.isatty():  # a bar may have hidden it
        os.write(sys.stderr.fileno(), _SHOW_CURSOR.encode())
    os._exit(INTERRUPTED)
