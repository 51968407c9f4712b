"""Run commands in the current folder, and see that failures leave nothing in it."""

import io
from pathlib import Path

import pytest

from small_mobilenet import card_path
from spiq.cli import main

Capture = pytest.CaptureFixture[str]
CARD = f"--card={card_path()}"


class Stream(io.TextIOWrapper):
    """A standard stream that takes bytes, too."""

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8", write_through=True)

    def content(self) -> bytes:
        self.flush()
        return self.buffer.getvalue()  # type: ignore[attr-defined, no-any-return]


def done(capsys: Capture, *arguments: object) -> str:
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def refused(capsys: Capture, *arguments: object) -> str:
    """Run what must fail: exit code 2, one line on stderr, nothing printed, nothing written."""
    before = content()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("spiq: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert content() == before
    return err


def content() -> dict[str, bytes | None]:
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in sorted(Path().rglob("*"))
    }
