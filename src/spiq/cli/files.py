"""Where commands read networks from and write results to: files, or ``-`` for stdin and stdout.

What is there already is replaced only with ``--force``. A script that runs twice says so once.
"""

import sys
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
