"""Files that appear whole or not at all, whatever ends the process that writes them.

On Linux a file is written without a name and gets one when it is whole (O_TMPFILE, linkat): a
process that is killed leaves nothing. Only to take the place of an older file, which linkat cannot,
it bears a temporary name for the moment between two system calls. Elsewhere it bears one from the
start. Who writes a file holds a lock on it, so that a temporary file without one was left by a
process that was killed, and goes the next time that something is written beside it.

Source: https://man7.org/linux/man-pages/man2/open.2.html, "O_TMPFILE".
"""

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except (
    ImportError
):  # pragma: no cover - Windows, where an open file can be neither moved nor removed
    fcntl = None  # type: ignore[assignment]

_START, _END = ".spiq-", ".tmp"
_DESCRIPTORS = "/proc/self/fd"
_MODE = 0o666
"""Of a new file, before the umask."""

_BY_NUMBER = os.chmod in os.supports_fd


@dataclass(frozen=True)
class Pending:
    """A file that is being written.

    Attributes:
        stream: Takes its content.
        name: Its temporary name; None where it has none.
    """

    stream: BinaryIO
    name: Path | None

    def place(self, target: Path) -> None:
        """Give the file its name, in the same folder; an older file of that name is replaced.

        The file has the mode of the one that it replaces.

        Raises:
            OSError: It cannot be; what was there is unchanged.
        """
        self.stream.flush()
        with suppress(FileNotFoundError):
            os.chmod(self.stream.fileno() if _BY_NUMBER else self.name or target, _mode(target))
        os.fsync(self.stream.fileno())
        if self.name is not None:
            if fcntl is None:
                self.stream.close()
            os.replace(self.name, target)
            return
        try:
            _link(self.stream, target)
        except FileExistsError:
            _replace_by_link(self.stream, target)
        except OSError:  # a file system that has one half of this, not the other
            _replace_by_copy(self.stream, target)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def pending(folder: Path) -> Iterator[Pending]:
    """Open a file that has no name, or does not outlive the block under it.

    Raises:
        OSError: Nothing can be written in the folder.
    """
    file = _nameless(folder) or _named(folder)
    try:
        yield file
    finally:
        with suppress(OSError):
            file.stream.close()
        if file.name is not None:
            _remove(file.name)


def tidy(folder: Path, undo: Callable[[bytes], None] | None = None) -> None:
    """Remove what killed processes have left in a folder.

    Args:
        folder: Any folder; one that cannot be read is left as it is.
        undo: Told the content of each file that is removed.
    """
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if entry.name.startswith(_START) and entry.name.endswith(_END):
                _remove_stale(Path(entry.path), undo)


def temporary_name(folder: Path) -> Path:
    """Return a name that :func:`tidy` removes."""
    return folder / f"{_START}{secrets.token_hex(8)}{_END}"


def _nameless(folder: Path) -> Pending | None:
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir(_DESCRIPTORS):
        return None
    try:
        number = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, _MODE)
    except OSError:  # not on this file system, or not at all: then a named file says why
        return None
    stream = open(number, "w+b")  # noqa: SIM115
    _lock(stream)
    return Pending(stream, None)


def _named(folder: Path) -> Pending:
    while True:
        name = temporary_name(folder)
        stream = open(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | _BINARY, _MODE), "w+b")  # noqa: SIM115
        _lock(stream)
        if fcntl is None or os.fstat(stream.fileno()).st_nlink:
            return Pending(stream, name)
        stream.close()  # another process took it for a stale one before it was locked


_BINARY = getattr(os, "O_BINARY", 0)


def _lock(stream: BinaryIO) -> None:
    with suppress(OSError):  # where there are no locks, stale files stay
        if fcntl is not None:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _link(stream: BinaryIO, target: Path) -> None:
    # Only with a folder's descriptor does Python call linkat, which follows the link.
    number = stream.fileno()
    os.link(f"{_DESCRIPTORS}/{number}", target, src_dir_fd=number, follow_symlinks=True)


def _replace_by_link(stream: BinaryIO, target: Path) -> None:
    name = temporary_name(target.parent)
    try:
        _link(stream, name)
        os.replace(name, target)
    finally:
        _remove(name)


def _replace_by_copy(stream: BinaryIO, target: Path) -> None:
    copy = _named(target.parent)
    assert copy.name is not None
    try:
        stream.seek(0)
        shutil.copyfileobj(stream, copy.stream, 1 << 20)
        copy.place(target)
    finally:
        with suppress(OSError):
            copy.stream.close()
        _remove(copy.name)


def _remove_stale(path: Path, undo: Callable[[bytes], None] | None) -> None:
    with suppress(OSError), path.open("rb") as stream:
        if fcntl is not None:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if undo is not None:
            undo(stream.read(_NOTE))
        if fcntl is not None:
            path.unlink()
    if fcntl is None:
        _remove(path)


_NOTE = 1 << 16
"""Bytes of a stale file that are told."""


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
