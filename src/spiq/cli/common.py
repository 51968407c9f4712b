"""Options that every command has: how much it says, where that is kept, and threads.

They are added to a command's own, so that they stand where a command is, and in its help.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from spiq.cli import journal

Quiet = Annotated[
    bool,
    typer.Option("-q", "--quiet", help="No progress, notes, warnings, and no table beside a file."),
]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Say each step, and how long it took.")
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Add all that is said, and why it failed, to a file.",
        show_default=False,
    ),
]  # fmt: skip
Threads = Annotated[
    int, typer.Option(metavar="N", help="Of ONNX Runtime. 0: as many as there are.")
]

_ADDED = {"quiet": (Quiet, False), "verbose": (Verbose, False), "log_file": (LogFile, None)}

Command = Callable[..., None]


def group(help: str) -> typer.Typer:
    """Return an app of several commands, which alone prints its help."""
    made = typer.Typer(help=help)

    @made.callback(invoke_without_command=True)
    def show(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            print(context.get_help())

    return made


def common(command: Command) -> Command:
    """Give a command these options; ``threads`` only where it has none itself."""
    own = inspect.signature(command)
    threads = "threads" not in own.parameters and command.__name__ not in _WITHOUT
    added = _ADDED | ({"threads": (Threads, 0)} if threads else {})

    @functools.wraps(command)
    def run(**given: Any) -> None:
        said = {name: given.pop(name) for name in added}
        with ExitStack() as during:
            during.enter_context(
                journal.kept(
                    quiet=said["quiet"], verbose=said["verbose"], file=said["log_file"],
                    command=sys.argv[1:],
                )
            )  # fmt: skip
            if said.get("threads"):
                from spiq.runtime.session import threads_of_all

                during.enter_context(threads_of_all(said["threads"]))
            command(**given)

    return with_options(run, command, added)


def with_options(
    run: Command, command: Command, added: Mapping[str, tuple[Any, object]], before: str = ""
) -> Command:
    """Give the function in place of a command its signature, and some options more.

    Args:
        run: Stands for the command; is changed.
        command: The command.
        added: Kind and default of each option, by name.
        before: Name of the command's own option in front of which they stand; behind all of them
            by default.
    """
    own = inspect.signature(command)
    listed = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own.parameters.values()]
    place = list(own.parameters).index(before) if before else len(listed)
    listed[place:place] = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in added.items()
    ]
    run.__signature__ = own.replace(parameters=listed)  # type: ignore[attr-defined]
    run.__annotations__ = command.__annotations__ | {n: kind for n, (kind, _) in added.items()}
    return run


_WITHOUT = ("demo", "sweep", "show")
"""Commands that set the threads of their networks themselves, or run none."""
