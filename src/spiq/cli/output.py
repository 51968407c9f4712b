"""What commands print: results to stdout, progress (on a terminal only) and warnings to stderr."""

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from spiq.cli import journal
from spiq.cli.files import STREAM
from spiq.cli.streams import UNPRINTED

if TYPE_CHECKING:
    from _typeshed import DataclassInstance as Found
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

    from spiq.sweep.run import SweepProgress

_LONGEST = 1000
"""Characters of a message; a name in a file may be of any length."""

_FILE_WIDTH = 120
"""Of tables that go to a file or a pipe, where no terminal says how wide it is."""


def result(
    found: "Found", render: "Callable[..., RenderableType]", *, json: bool, **more: str
) -> None:
    """Print what a command found, see :func:`rendered`."""
    print(rendered(found, render, json=json, **more), end="")


def rendered(
    found: "Found", render: "Callable[..., RenderableType]", *, json: bool, **more: str
) -> str:
    """Return what a command found, as JSON or as the table that ``render`` makes of it.

    Args:
        found: A result, such as a ``QuantizeResult``.
        render: Takes it and ``more``.
        json: For machines.
        more: What the command adds, such as the file that it wrote.
    """
    if not json:
        return page(render(found, **more))
    from spiq.cli.render.json import render_json
    from spiq.cli.render.schema import identity

    return render_json(found, schema=identity(found), **more) + "\n"


def show(table: "RenderableType") -> None:
    """Print a table, whatever characters names in it are of."""
    print(page(table), end="")


def page(table: "RenderableType") -> str:
    """Return a table as it is printed here, whatever characters names in it are of."""
    from rich.console import Console
    from rich.segment import Segment, Segments

    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _FILE_WIDTH
    parts = (
        Segment(text if control else plain(text), style, control)
        for text, style, control in console.render(table)
    )
    paper = io.StringIO()
    copy = Console(
        file=paper, width=console.width, force_terminal=console.is_terminal, markup=False,
        color_system=console.color_system,  # type: ignore[arg-type]
        highlight=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    copy.print(Segments(parts), end="")
    return paper.getvalue()


def said_last(text: str, *, written: str) -> int:
    """Print a result when all that was to be done is done; return the exit code.

    Where it cannot be printed, what was done is done all the same, and is said.

    Args:
        text: The result.
        written: The file that is there now.
    """
    try:
        print(text, end="", flush=True)
    except (OSError, MemoryError) as error:
        if isinstance(error, OSError):
            drop_stdout()
        if not isinstance(error, BrokenPipeError):
            reason = getattr(error, "strerror", None) or "out of memory"
            warn(f"{written!r} is written, but what was done cannot be printed: {reason}")
        return UNPRINTED
    return 0


def said_of(text: str, written: Path, *, json: bool) -> int:
    """Print what was made of a network that is written: on stderr where stdout took the network.

    Returns:
        The exit code.
    """
    if journal.is_quiet() and not json:
        return 0
    if written != STREAM:
        return said_last(text, written=str(written))
    with suppress(OSError):
        print(text, end="", file=sys.stderr, flush=True)
    return 0


def drop_stdout() -> None:
    """Take it that nobody reads stdout, not even what is still to be flushed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(message: str) -> None:
    """Print a warning, one line."""
    _say(f"warning: {one_line(message)}", logging.WARNING)


def note(message: str) -> None:
    """Print a line of what was assumed to stderr."""
    _say(one_line(message), logging.INFO)


def _say(line: str, level: int) -> None:
    journal.SAID.log(level, line)
    if not journal.is_quiet():
        complain(f"spiq: {line}")


def complain(line: str) -> None:
    """Print a line to stderr; where that takes none, the exit code says enough."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def one_line(message: str) -> str:
    """A message in one line, whatever is in the names in it; it loses its middle if too long."""
    line = plain(" ".join(message.split()))
    half = _LONGEST // 2
    return line if len(line) <= _LONGEST else f"{line[:half]} … {line[-half:]}"


def plain(text: str) -> str:
    """Escape what could do anything to a terminal other than end a line."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


@contextmanager
def steps(names: Sequence[str]) -> Iterator[Callable[[str], None]]:
    """Show a bar that moves on as each step begins; yields what to tell their names.

    Other names say what is done within a step.
    """
    with _bar() as progress:
        task = progress.add_task("", total=len(names))

        def tell(name: str) -> None:
            journal.STEPS.info(name)
            done = names.index(name) if name in names else None
            progress.update(task, description=name, completed=done)

        yield tell


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar of things done; yields what to tell their number and that of all."""
    with _bar() as progress:
        task = progress.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield tell


@contextmanager
def processes() -> Iterator[Callable[["SweepProgress"], None]]:
    """Show a bar of cells done, and one per process below it; yields what to tell them."""
    with _bar() as progress:
        every = progress.add_task("", total=None)
        lines: dict[str, TaskID] = {}

        def tell(now: "SweepProgress") -> None:
            progress.update(every, description=now.phase, completed=now.done, total=now.total)
            names = [f"  {number + 1} {name}" for number, (name, _) in enumerate(now.running)]
            for gone in lines.keys() - names:
                progress.remove_task(lines.pop(gone))
            for name, (_, step) in zip(names, now.running, strict=True):
                if name not in lines:
                    lines[name] = progress.add_task(name, total=None)
                text, total = f"{name}: {step.text}", step.total or None
                progress.update(lines[name], description=text, completed=step.done, total=total)

        yield tell


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description:10}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or journal.is_quiet() or journal.is_verbose(),
    )
