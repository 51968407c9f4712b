"""Where commands read networks from and write results to: files, or ``-`` for stdin and stdout.

What is there already is replaced only with ``--force``. A script that runs twice says so once.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spiq.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from spiq.io.write import Network

STREAM = Path("-")
"""stdin or stdout in the place of a file; a file of this name is ``./-``."""


def is_hub(model: Path) -> bool:
    """Return whether MODEL is a file of the Hugging Face Hub, ``hf:org/repo/model.onnx``."""
    return str(model).startswith("hf:") and not model.exists()


def located(model: Path) -> Path:
    """Return the path of a network, loaded from the Hub if it is there.

    Raises:
        ConfigError: The Hub has no such file.
    """
    if not is_hub(model):
        return model
    from spiq.hub import repository

    return repository.load(repository.parsed(str(model)))


def given(model: Path) -> Path | bytes:
    """Return the path of a network, loaded from the Hub if it is there, or what stdin brings.

    Raises:
        ConfigError: Nothing comes in, or the Hub has no such file.
    """
    if model != STREAM:
        return located(model)
    content = sys.stdin.buffer.read()
    if not content:
        raise ConfigError("-: nothing comes in on stdin: pipe an ONNX file into the command")
    return content


def all_given(models: list[Path]) -> list[Path | bytes]:
    """Return the paths of networks, one of which may come in on stdin.

    Raises:
        ConfigError: Two are to come in there, or nothing does.
    """
    if models.count(STREAM) > 1:
        raise ConfigError("- is given twice: one network can come in on stdin")
    return [given(model) for model in models]


def checked(path: Path, *, source: Path | None = None, force: bool) -> Path:
    """Check where to write, before the work that takes time; return the file, links followed.

    Raises:
        OutputError: It cannot be written there, or a file is there already.
    """
    from spiq.io.write import check_output

    if path == STREAM:
        return path
    target = check_output(path, source=source, force=force)
    if target.exists() and not force:
        raise OutputError(
            f"{str(path)!r} is there already: replace it with --force, or choose another name"
        )
    return target


def check_all(
    network: Path,
    beside: Mapping[str, Path | None],
    *,
    source: Path,
    read: Path | None,
    force: bool,
    json: bool,
) -> None:
    """Check where a network goes, and what is to be beside it, before the work that takes time.

    Args:
        network: Where the network goes; it alone may go to stdout.
        beside: Where other things go, by the option that says so.
        source: The network that is read.
        read: The plan that is read, if one is.
        force: Whether files that are there are replaced.
        json: Whether stdout takes JSON.

    Raises:
        ConfigError: Two are to be one file, or stdout is to take what it cannot.
        OutputError: One cannot be written there, or a file is there already.
    """
    if network == STREAM and (json or sys.stdout.isatty()):
        taken = "is a terminal" if sys.stdout.isatty() else "takes --json"
        raise ConfigError(f"-: stdout {taken}: give -o a file")
    taken_by: dict[Path, str] = {}
    for name, path in {"the output": network, **beside}.items():
        if path is None:
            continue
        if path == STREAM and taken_by:
            raise ConfigError(f"{name} -: only the network goes to stdout: give it a file")
        if read is not None and path.resolve() == read.resolve():
            raise ConfigError(f"{str(path)!r} is the plan that is read: choose another name")
        target = checked(path, source=source, force=force)
        if target in taken_by:
            raise ConfigError(f"{name} {path} is {taken_by[target]} too: choose another name")
        taken_by[target] = name


def put(
    content: "Network",
    path: Path,
    *,
    source: Path | None = None,
    force: bool = False,
    beside: dict[str, bytes] | None = None,
) -> None:
    """Write a network, or bytes, and what is to be beside it, to a file or stdout.

    Raises:
        OutputError: It cannot be written.
        ModelError: The network is too large for a stream.
    """
    from spiq.io.write import serialize, write

    if path != STREAM:
        write(content, path, source=source, force=force, beside=beside)
        return
    for name, other in (beside or {}).items():
        write(other, name, source=source)
    sys.stdout.flush()
    sys.stdout.buffer.write(content if isinstance(content, bytes) else serialize(content))
    sys.stdout.buffer.flush()
