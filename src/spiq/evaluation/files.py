"""Text files that a card names, or that it is: what cannot be read is said in one way."""

from pathlib import Path

from spiq.errors import CardError


def content(path: Path, what: str) -> bytes:
    """The bytes of a file.

    Raises:
        CardError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise CardError(f"{path}: cannot read {what}: {reason}") from error


def lines(path: Path, what: str) -> list[str]:
    """The lines of a text file that hold something, without the blanks around them.

    Raises:
        CardError: It cannot be read, or is no text.
    """
    try:
        text = content(path, what).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CardError(f"{path}: {what} must be a text file in UTF-8") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def matching(folder: Path, pattern: str) -> list[Path]:
    """The files that match a pattern, sorted by name.

    Raises:
        CardError: It is no pattern of files in a folder.
    """
    try:
        return sorted(folder.glob(pattern))
    except (NotImplementedError, ValueError) as error:
        raise CardError(f"{folder}: images = {pattern!r} is no pattern of its files") from error
