"""Where results are kept: a folder, or anything that fsspec reaches, such as s3://bucket/results.

Only the process that leads a sweep reads and writes here. Names are relative to the place.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from spiq.errors import ConfigError, OutputError
from spiq.io.write import write


class Place(Protocol):
    """Holds files by name."""

    def read(self, names: Collection[str]) -> dict[str, bytes]:
        """Return the contents of those files that are there."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file: all of it, or nothing.

        Raises:
            OutputError: It cannot be written; what was there before is unchanged.
        """

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""


def place(where: str | os.PathLike[str]) -> Place:
    """Return a place that can be written to.

    Raises:
        OutputError: It cannot be.
        ConfigError: It is no folder, and fsspec or what fsspec needs is not installed.
    """
    text = os.fspath(where)
    if "://" in text:
        return _remote(text)
    try:
        Path(text).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{text!r} cannot be a folder of results: {error.strerror}: choose another one"
        ) from error
    return Folder(Path(text).resolve())


@dataclass(frozen=True)
class Folder:
    """A folder."""

    path: Path

    def read(self, names: Collection[str]) -> dict[str, bytes]:
        """As :meth:`Place.read`."""
        found = {}
        for name in names:
            with suppress(OSError):
                found[name] = (self.path / name).read_bytes()
        return found

    def write(self, name: str, content: bytes) -> None:
        """As :meth:`Place.write`."""
        target = self.path / name
        with suppress(OSError):  # said by what follows
            target.parent.mkdir(exist_ok=True)
        write(content, target)

    def remove(self, name: str) -> None:
        """As :meth:`Place.remove`."""
        with suppress(OSError):
            (self.path / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Remote:
    """A folder of a file system of fsspec; objects get their names when they are whole."""

    files: Any
    path: str
    said: str

    def read(self, names: Collection[str]) -> dict[str, bytes]:
        """As :meth:`Place.read`: one listing, and then many at a time."""
        with _reached(self.said):
            there = {path[len(self.path) + 1 :] for path in self.files.find(self.path)}
            wanted = {f"{self.path}/{name}": name for name in names if name in there}
            found = self.files.cat(list(wanted), on_error="omit") if wanted else {}
        return {name: found[path] for path, name in wanted.items() if path in found}

    def write(self, name: str, content: bytes) -> None:
        """As :meth:`Place.write`."""
        with _reached(self.said):
            self.files.pipe_file(f"{self.path}/{name}", content)

    def remove(self, name: str) -> None:
        """As :meth:`Place.remove`."""
        with suppress(Exception):
            self.files.rm_file(f"{self.path}/{name}")


def _remote(text: str) -> Remote:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ConfigError(f"results in {text} need fsspec: pip install 'spiq[ray]'") from error
    try:
        files, path = url_to_fs(text)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"results in {text}: {error}") from error
    remote = Remote(files, path.rstrip("/"), text)
    with _reached(text):
        files.makedirs(remote.path, exist_ok=True)
    return remote


@contextmanager
def _reached(said: str) -> Iterator[None]:
    """Whatever a file system raises, in one line."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())
        raise OutputError(
            f"{said}: {type(error).__name__}: {reason}: is it to be reached?"
        ) from error
