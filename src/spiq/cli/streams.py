"""Streams that take whatever is printed, on any terminal and in any pipe.

A stream that was closed (``>&-``) becomes one that nobody reads; otherwise the next file that is
opened would get its number, and what a library prints would go into it. Characters that a stream's
encoding lacks (cp1252, latin-1, ASCII) are printed as ones that look alike, or escaped.
"""

import codecs
import os
import sys

UNPRINTED = 1
"""Exit code where all is done, and nobody takes what is printed."""

FAILED = 2
"""Exit code where a model, an option, a file or the machine does not do."""

WORSE = 3
"""Exit code where a network is worse than its baseline."""

_MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}
_ALIKE = str.maketrans({"─": "-", "—": "-", "·": ".", "█": "#", "━": "-", "…": "~", "\u00d7": "x",
                        "→": ">", "²": "2", "³": "3", "±": "+", "≤": "<", "≥": ">",
                        "╸": "-", "╺": "-"})  # fmt: skip
"""One character for one, so that columns stay where they are."""


def take_anything() -> None:
    """Make the streams of the process take anything."""
    codecs.register_error("spiq", _alike)
    for name, mode in _MODES.items():
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest one that is free: its own
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
        elif mode == "w" and hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="spiq")


def _alike(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that cannot be encoded, and where to go on."""
    assert isinstance(error, UnicodeEncodeError)
    part = error.object[error.start : error.end].translate(_ALIKE)
    return part.encode("ascii", "backslashreplace").decode(), error.end


_SIGNS = ("memory", "failed to map segment", "start new thread", "without setting an exception",
          "without exception set")  # fmt: skip


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error is what a library makes of too little memory."""
    if isinstance(error, MemoryError):
        return True
    kinds = (ImportError, OSError, RuntimeError, SystemError)
    return isinstance(error, kinds) and any(sign in str(error).lower() for sign in _SIGNS)
