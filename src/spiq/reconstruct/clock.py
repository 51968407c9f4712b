"""How far something is, and how long it may still take."""

import time

from spiq.analysis import Progress

_PAUSE = 2.0
"""Seconds between two things told."""


class Clock:
    """Tells how far something is, now and then."""

    def __init__(self, tell: Progress, what: str) -> None:
        """Begin with what is done."""
        self.tell, self.what = tell, what
        self.begin = self.told = time.perf_counter()
        tell(what)

    def at(self, share: float) -> None:
        """Take note of the share that is done."""
        now = time.perf_counter()
        if now - self.told < _PAUSE:
            return
        self.told = now
        left = (now - self.begin) * (1 - share) / share
        text = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
        self.tell(f"{self.what}: {share:.0%}, {text} left")
