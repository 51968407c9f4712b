"""How much a command says, and the file that keeps it.

    -q             nothing but results and errors
    -v             each step as it begins, with the seconds since the start
    --log-file     all of that, warnings, errors with where they arose, versions and the command

Steps and messages go through :mod:`logging`, as what the library has to say does.
"""

import logging
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from pathlib import Path

from spiq.errors import ConfigError, OutputError, SpiqError

SAID = logging.getLogger("spiq.cli.said")
"""What is said on stderr anyway."""

SAID.addHandler(logging.NullHandler())  # it is printed by whoever says it

STEPS = logging.getLogger("spiq.cli.steps")
"""What is being done."""

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
_verbose: ContextVar[bool] = ContextVar("verbose", default=False)


def is_quiet() -> bool:
    """Return whether nothing but results and errors is wanted."""
    return _quiet.get()


def is_verbose() -> bool:
    """Return whether steps are said as lines, in the place of a bar."""
    return _verbose.get()


@contextmanager
def kept(
    *, quiet: bool, verbose: bool, file: Path | None, command: Sequence[str]
) -> Iterator[None]:
    """Say as much as is wanted while a command runs.

    Raises:
        OutputError: The file cannot be written.
        ConfigError: It is to say both more and less.
    """
    if quiet and verbose:
        raise ConfigError("-q and -v contradict each other: leave one out")
    logger, begin = logging.getLogger("spiq"), time.perf_counter()
    handlers = [_lines()] if verbose else []
    handlers += [_into(file)] if file is not None else []
    before = logger.level
    tokens = _quiet.set(quiet), _verbose.set(verbose)
    try:
        for handler in handlers:
            logger.addHandler(handler)
        if handlers:
            logger.setLevel(logging.DEBUG)
        if file is not None:
            STEPS.debug("spiq %s", " ".join(command))
            STEPS.debug("%s", _versions())
        yield
        STEPS.info("done in %.2f s", time.perf_counter() - begin)
    except SpiqError:
        STEPS.debug("failed after %.2f s", time.perf_counter() - begin, exc_info=True)
        raise
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(before)
        _quiet.reset(tokens[0])
        _verbose.reset(tokens[1])


def _versions() -> str:
    names = ("spiq", "onnxruntime", "onnx", "numpy")
    found = [f"{name} {version(name)}" for name in names]
    return ", ".join([*found, f"Python {platform.python_version()}", platform.platform()])


def _lines() -> logging.Handler:
    """Steps, and what the library has to say, as lines on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.INFO)
    handler.addFilter(lambda record: record.name != SAID.name)
    begin = time.time()

    class Line(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"spiq: {record.created - begin:7.2f} s  {record.getMessage()}"

    handler.setFormatter(Line())
    return handler


def _into(file: Path) -> logging.Handler:
    try:
        handler = logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"--log-file {file}: cannot be written: {reason}") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler
